// The peer "Node" of the interop matrix: reads jobs from stdin, prints what happened as JSON lines. ../README.md has
// the language that it speaks.
'use strict';

const { X509Certificate } = require('node:crypto');
const fs = require('node:fs');
const readline = require('node:readline');
const tls = require('node:tls');

const MILLISECONDS = 60_000;
const CYCLE = 251; // Byte i of an echo is i % 251.
const PATTERN = Buffer.from(Array.from({ length: 261 * CYCLE }, (_, index) => index % CYCLE));

function say(answer) {
  fs.writeSync(1, `${JSON.stringify(answer)}\n`);
}

function sayEnd(job, error) {
  say({ job, event: 'end', error: error ? `${error.code ?? error.name}: ${error.message}` : null });
}

function sayHandshake(job, socket) {
  say({
    job,
    event: 'handshake',
    version: socket.getProtocol(),
    resumed: socket.isSessionReused(),
    peer: socket.getPeerX509Certificate()?.raw.toString('hex') ?? null,
    alpn: socket.alpnProtocol || null, // `false` when none was agreed on
    group: socket.getEphemeralKeyInfo()?.name ?? null, // `null` on a server
    // Node reads nothing of the CA names, and does not say whether its certificate was asked for.
    authorities: null,
    sent: null,
  });
}

// The options of one job: each has a list of values.
function parse(fields) {
  const found = { connections: ['1'], versions: ['1.2,1.3'] };
  for (let index = 0; index < fields.length; index += 1) {
    const name = fields[index].slice(2);
    const value = fields[index + 1]?.startsWith('--') === false ? fields[(index += 1)] : 'yes';
    if (name === 'do' || name === 'cert' || name === 'key') (found[name] ??= []).push(value);
    else found[name] = [value];
  }
  return found;
}

// Of several certificates Node can hold one for each kind of key, and choose by that alone.
function common(options) {
  const versions = options.versions[0].split(',').map((one) => `TLSv${one}`);
  return {
    minVersion: versions[0],
    maxVersion: versions.at(-1),
    cert: options.cert?.map((file) => fs.readFileSync(file)),
    key: options.key?.map((file) => fs.readFileSync(file)),
    ALPNProtocols: options.alpn?.[0].split(','),
    ecdhCurve: options.groups?.[0].replaceAll(',', ':') ?? 'auto',
  };
}

// -- The server -------------------------------------------------------------------------------------------------------

function serve(job, options) {
  const mode = options['client-auth']?.[0] ?? 'none';
  const authorities = options['client-ca'] && fs.readFileSync(options['client-ca'][0]);
  // Whom Node trusts it also names, so that a server that names nobody has to look at certificates itself.
  const names = !options['no-hints'];
  const server = tls.createServer({
    ...common(options),
    ca: names ? authorities : undefined,
    requestCert: mode !== 'none',
    rejectUnauthorized: mode === 'required' && names,
  });
  let left = Number(options.connections[0]);
  const ended = (error) => {
    sayEnd(job, error);
    left -= 1;
    if (left === 0) server.close();
  };
  server.on('tlsClientError', (error, socket) => {
    // Node gives no reason of its own when it refuses a certificate.
    ended(socket.authorizationError ? new Error(`${error.message} (${socket.authorizationError})`) : error);
  });
  server.on('secureConnection', (socket) => {
    const refusal = names ? socket.authorizationError : unknownTo(authorities, mode, socket);
    if (refusal && (mode === 'required' || socket.getPeerX509Certificate())) {
      socket.destroy();
      ended(new Error(refusal));
      return;
    }
    let failure = null;
    let closed = false;
    socket.setTimeout(MILLISECONDS, () => socket.destroy(new Error('nothing came for a minute')));
    socket.on('error', (error) => (failure = error));
    socket.on('end', () => (closed = true));
    socket.on('close', () => ended(failure ?? (closed ? null : new Error('the client did not close'))));
    sayHandshake(job, socket);
    obey(socket);
  });
  server.listen(0, '127.0.0.1', () => say({ job, event: 'listening', port: server.address().port }));
}

// Why a client certificate is none of those CAs', or null.
function unknownTo(authorities, mode, socket) {
  const leaf = socket.getPeerX509Certificate();
  if (!leaf) return mode === 'required' ? 'no client certificate' : null;
  const roots = authorities.toString().match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g);
  const trusted = roots.map((pem) => new X509Certificate(pem));
  for (let one = leaf; one; one = one.issuerCertificate) {
    if (trusted.some((root) => one.checkIssued(root) && one.verify(root.publicKey))) return null;
    if (one.issuerCertificate && !one.verify(one.issuerCertificate.publicKey)) break;
  }
  return 'the client certificate is of no CA that this server knows';
}

// Does what the client asks for, until it says bye or closes.
function obey(socket) {
  let waiting = Buffer.alloc(0);
  let echoing = 0;
  socket.on('data', (data) => {
    waiting = waiting.length ? Buffer.concat([waiting, data]) : data;
    while (waiting.length) {
      if (echoing) {
        const piece = waiting.subarray(0, echoing);
        waiting = waiting.subarray(piece.length);
        echoing -= piece.length;
        if (!socket.write(piece)) {
          socket.pause();
          socket.once('drain', () => socket.resume());
        }
        continue;
      }
      const end = waiting.indexOf('\n');
      if (end < 0) return;
      const [command, size] = waiting.subarray(0, end).toString().split(' ');
      waiting = waiting.subarray(end + 1);
      if (command === 'echo') echoing = Number(size);
      else if (command === 'update') socket.write('ok\n'); // Node has no way to send a KeyUpdate.
      else if (command === 'bye') socket.end();
      else socket.destroy(new Error(`unknown command ${command}`));
    }
  });
}

// -- The client -------------------------------------------------------------------------------------------------------

async function connect(job, options) {
  let session;
  for (let left = Number(options.connections[0]); left > 0; left -= 1) {
    session = await visit(job, options, session);
  }
}

// One connection, to its end; gives the session that the next one may resume.
function visit(job, options, session) {
  return new Promise((resolve) => {
    let failure = null;
    let ended = false;
    let ticket;
    const socket = tls.connect({
      ...common(options),
      host: '127.0.0.1',
      port: Number(options.port[0]),
      servername: options['server-name'][0],
      ca: fs.readFileSync(options.ca[0]),
      session,
    });
    socket.setTimeout(MILLISECONDS, () => socket.destroy(new Error('nothing came for a minute')));
    socket.on('session', (one) => (ticket = one));
    socket.on('error', (error) => (failure ??= error));
    socket.on('end', () => (ended = true));
    socket.on('close', () => {
      sayEnd(job, failure ?? (ended ? null : new Error('the server did not close')));
      resolve(ticket);
    });
    socket.on('secureConnect', () => {
      sayHandshake(job, socket);
      act(socket, options.do ?? ['echo:5', 'bye']).catch((error) => socket.destroy(error));
    });
  });
}

async function act(socket, actions) {
  const reader = new Reader(socket);
  for (const action of actions) {
    const [name, size] = action.split(':');
    if (name === 'echo') {
      await echo(socket, reader, Number(size));
    } else if (name === 'update') {
      await write(socket, 'update\n');
      const answer = (await reader.read(3)).toString();
      if (answer !== 'ok\n') throw new Error(`update was answered with ${answer}`);
    } else if (name === 'bye') {
      await write(socket, 'bye\n');
      await reader.expectEnd();
    } else if (name === 'close') {
      socket.end();
      await reader.expectEnd();
    } else {
      throw new Error(`Node cannot ${name}`);
    }
  }
}

// Has the server echo that many bytes, which are sent and received at once.
async function echo(socket, reader, size) {
  const send = async () => {
    await write(socket, `echo ${size}\n`);
    for (let left = size; left > 0; left -= PATTERN.length) await write(socket, PATTERN.subarray(0, left));
  };
  const receive = async () => {
    for (let left = size; left > 0; left -= PATTERN.length) {
      const expected = PATTERN.subarray(0, left);
      if (!(await reader.read(expected.length)).equals(expected)) throw new Error('the echo is not what was sent');
    }
  };
  await Promise.all([send(), receive()]);
}

function write(socket, data) {
  return new Promise((resolve, reject) => socket.write(data, (error) => (error ? reject(error) : resolve())));
}

// Reads exact numbers of bytes off a socket.
class Reader {
  #socket;
  #ended = false;
  #wake = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on('readable', () => this.#wake());
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  async read(size) {
    const pieces = [];
    for (let left = size; left > 0; ) {
      const piece = this.#socket.read(Math.min(left, this.#socket.readableLength) || undefined);
      if (piece) {
        pieces.push(piece);
        left -= piece.length;
      } else if (this.#ended) {
        throw new Error(`the server closed ${left} bytes too early`);
      } else {
        await this.#change();
      }
    }
    return Buffer.concat(pieces);
  }

  async expectEnd() {
    while (!this.#ended) {
      if (this.#socket.read()) throw new Error('data came in place of the end');
      if (!this.#ended) await this.#change();
    }
  }

  #change() {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}

// -- Jobs -------------------------------------------------------------------------------------------------------------

say({ event: 'ready', version: `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}` });
readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [number, role, ...fields] = line.split('\t');
    const job = Number(number);
    try {
      const options = parse(fields);
      if (role === 'server') serve(job, options);
      else connect(job, options).catch((error) => sayEnd(job, error));
    } catch (error) {
      sayEnd(job, error);
    }
  })
  .on('close', () => process.exit());
