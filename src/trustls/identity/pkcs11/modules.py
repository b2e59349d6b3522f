"""PKCS#11 modules in this process: loaded once, one lock for each, logged in once for each token, and forked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pkcs11
from pkcs11 import PKCS11Error, TokenFlag
from pkcs11 import _pkcs11 as _binding

from trustls.errors import ConfigError
from trustls.values import dataclass

PIN = str | Callable[[], str] | None
"""A PIN, or a function that gives it whenever a login needs it; with None nobody logs in."""

# A wrong PIN, which the token counts.
WRONG_PIN: Final = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)


@dataclass(slots=True, eq=False)
class Login:
    """What this process has open on the token in one slot. A lost one is replaced, and all its sessions with it.

    `session` is the one that logged in; None without a PIN, and where somebody else in this process has logged in.
    """

    slot: int
    session: pkcs11.Session | None = None
    logged_in: bool = False
    users: int = 0


class Module:
    """A PKCS#11 library in this process. Every call into it is made under `lock`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._inherited = False  # From a process that was forked.
        self._library: _binding.lib | None = None
        self._logins: dict[int, Login] = {}  # By slot: in PKCS#11, all sessions of a process on a token are logged in.
        self._refused: set[tuple[str, bytes, str]] = set()

    def library(self) -> _binding.lib:
        """The library, loaded and initialised.

        Raises:
            ConfigError: it cannot be.
        """
        if self._library is None or not self._library.initialized:
            self._logins.clear()  # Whoever has shut the module down has closed everything.
            # The object that a child inherits believes that it is initialised; a new one asks the module.
            load = _binding.lib if self._inherited else pkcs11.lib
            try:
                self._library = load(self.path)
            except PKCS11Error as error:
                raise ConfigError(self._not_loaded(error)) from None
        return self._library

    def _not_loaded(self, error: PKCS11Error) -> str:
        if self._inherited:
            return (
                f"the PKCS#11 module {self.path} was in use before this process was forked, and cannot be used after "
                f"that ({said(error)}): make the signer in each worker process, after the fork"
            )
        if "already initialized" in str(error):
            return (
                f"the PKCS#11 module {self.path} is in use already by something else in this process: load it by the "
                "same path as that does, or both through p11-kit's proxy module"
            )
        return f"the PKCS#11 module {self.path} cannot be loaded: {said(error)}"

    def login(self, token: pkcs11.Token, pin: PIN, lost: Login | None) -> Login:
        """What this process has open on `token`, with one user more, and logged in if there is a PIN.

        Raises:
            ConfigError: the token refuses the PIN, or has refused it before.
        """
        slot = token.slot.slot_id
        login = self._logins.get(slot)
        if login is not None and login is lost:
            self._log_out(login)
            login = None
        if login is None:
            login = Login(slot)
        if pin is not None and not login.logged_in:
            login.session = self._logged_in(token, pin_text(pin))
            login.logged_in = True
        login.users += 1
        self._logins[slot] = login
        return login

    def stands(self, login: Login | None) -> bool:
        """Whether it has not been replaced since, or lost by a fork."""
        return login is not None and self._logins.get(login.slot) is login

    def _logged_in(self, token: pkcs11.Token, pin: str) -> pkcs11.Session | None:
        self.check_pin(token, pin)
        if token.flags & TokenFlag.USER_PIN_LOCKED:
            raise ConfigError(f"the PIN of {token_name(token)} is locked: the security officer must set a new one")
        if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise ConfigError(
                f"{token_name(token)} locks itself at the next wrong PIN, so none is tried here: log in once with "
                "another tool, such as `pkcs11-tool --login`, which sets the count back"
            )
        try:
            return token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return None
        except WRONG_PIN as error:
            self.note_refused(token, pin)
            raise ConfigError(f"{token_name(token)} refuses the PIN ({said(error)})") from None

    def check_pin(self, token: pkcs11.Token, pin: str) -> None:
        """Raise ConfigError for a PIN that this token has refused before."""
        if (token.label, token.serial, pin) in self._refused:
            raise ConfigError(
                f"{token_name(token)} has refused this PIN before: it is not tried again by this process, lest "
                "the token locks itself"
            )

    def note_refused(self, token: pkcs11.Token, pin: str) -> None:
        """Remember a PIN that a token has refused."""
        self._refused.add((token.label, token.serial, pin))

    def release(self, login: Login | None) -> None:
        """One user of a login less; the last one logs out."""
        if login is not None and self.stands(login):
            login.users -= 1
            if not login.users:
                self._log_out(login)

    def _log_out(self, login: Login) -> None:
        del self._logins[login.slot]
        close_session(login.session)

    def forked(self) -> None:
        """In a child: what was open belongs to the parent."""
        self._inherited = True
        self._library = None
        self._logins.clear()


def close_session(session: pkcs11.Session | None) -> None:
    """Close a session, which may be gone already. One that has logged in logs out, for the whole process."""
    if session is not None:
        with contextlib.suppress(PKCS11Error):
            session.close()


def pin_text(pin: str | Callable[[], str]) -> str:
    """The PIN itself."""
    return pin if isinstance(pin, str) else pin()


_modules: Final[dict[str, Module]] = {}
_modules_lock: Final = threading.RLock()


def module_at(path: str | os.PathLike[str]) -> Module:
    """The one object of this process for a module, which need not be loaded yet."""
    given = os.fspath(path)
    # A bare name is looked for by the system's loader.
    name = os.path.realpath(given) if Path(given).name != given else given
    with _modules_lock:
        return _modules.setdefault(name, Module(given))


def _before_fork() -> None:
    """Wait for the calls under way, so that a child inherits every module at rest."""
    _modules_lock.acquire()
    for module in _modules.values():
        module.lock.acquire()


def _after_fork() -> None:
    for module in _modules.values():
        module.lock.release()
    _modules_lock.release()


def _after_fork_in_child() -> None:
    for module in _modules.values():
        module.forked()
    _after_fork()


if hasattr(os, "register_at_fork"):  # Not on Windows.
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def token_name(token: pkcs11.Token) -> str:
    """What messages call a token."""
    return f"the token {token.label!r} (slot {token.slot.slot_id})"


def said(error: Exception) -> str:
    """An error of the module in words; python-pkcs11's are named for the codes of the standard, and mostly empty."""
    return " ".join(filter(None, (type(error).__name__ if isinstance(error, PKCS11Error) else "", str(error))))
