"""The root of the command line, and the one place where a failure becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence

import click

from trustls import __version__
from trustls.cli.check import check
from trustls.cli.connect import connect
from trustls.cli.demo import demo
from trustls.cli.exits import INTERRUPTED, NETWORK_FAILED, OK, TLS_FAILED, USAGE
from trustls.cli.pki_command import pki
from trustls.cli.render import failure, never_fail_on_encoding, note
from trustls.cli.serve import serve
from trustls.errors import ConfigError, HandshakeTimeout, TLSError, UnexpectedEOF

# Where standard output goes to, and not a peer, is what fails.
_NOT_OF_THE_NETWORK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _CutOff(Exception):
    """An UnexpectedEOF, which click would take for the end of what a person types."""


class _Root(click.Group):
    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except UnexpectedEOF as error:
            raise _CutOff(str(error)) from error


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="trustls %(version)s")
def trustls() -> None:
    """TLS for Python, mutual TLS first: see it, serve it, talk to it.

    \b
    Examples:
      trustls demo
      trustls pki ca pki --name "My Development CA"
      trustls serve --cert pki/localhost.pem --key pki/localhost-key.pem --client-ca pki/ca.pem --www
      trustls connect localhost:8443 --ca pki/ca.pem --cert pki/alice.pem --key pki/alice-key.pem

    Exit codes: 0 all went well; 1 TLS failed (a handshake, a certificate, an alert); 2 the command or its files are
    wrong; 3 the network failed; 130 interrupted.
    """


trustls.add_command(demo)
trustls.add_command(serve)
trustls.add_command(connect)
trustls.add_command(check)
trustls.add_command(pki)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; a failure is printed as a sentence, never as a traceback."""
    never_fail_on_encoding()
    warnings.showwarning = _show_warning
    try:
        code = trustls.main(list(arguments), prog_name="trustls", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ConfigError as error:
        failure(str(error))
        return USAGE
    except _CutOff as error:
        failure(str(error))
        return TLS_FAILED
    except HandshakeTimeout as error:
        failure(str(error))
        return NETWORK_FAILED
    except TLSError as error:
        failure(str(error))
        return TLS_FAILED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not worth a word. Python must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        failure(_os_sentence(error))
        return USAGE if error.filename is not None or error.errno in _NOT_OF_THE_NETWORK else NETWORK_FAILED
    return code if isinstance(code, int) else OK


def _os_sentence(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    """A warning as a sentence, without the line of code that gave it."""
    note(str(message))
