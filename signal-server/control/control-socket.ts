import type { WebSocket } from 'ws';
import { toBase64 } from '#shared/bytes.ts';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { ChorusError, toChorusError, type ErrorCode } from '#shared/errors.ts';
import { firstFault, formWords } from '#shared/form-words.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_CONTROL_MESSAGE_BYTES, PROTOCOL_VERSION, MAX_REASON_CHARACTERS } from '#shared/limits.ts';
import { peerControlMessageSchema, type PeerControlMessage, type ServerMessage } from '#shared/wire/control-message.ts';
import { CONTROL_NONCE_BYTES, controlProofBytes } from '#shared/wire/control-proof.ts';
import type { PeerKind } from '#shared/wire/peer-kind.ts';
import type { SocketSource } from '../gate/upgrade-gate.ts';
import { TokenBucket } from '../gate/token-bucket.ts';
import type { Config } from '../machine/config.ts';
import type { DeskMessage } from '../peer-router/control-router.ts';
import { checkProof } from './check-proof.ts';

/** Large messages take longer to read: one counts as one more for every so many bytes. */
const BYTES_PER_MESSAGE = 16 * 1024;

/** A proof is some hundred bytes; whoever has proven nothing is read no more than that. */
const MAX_UNPROVEN_BYTES = 4 * 1024;

/** A peer whose key is proven, as the rest of the server sees its socket. */
export interface ControlPeer {
  readonly id: PeerId;
  readonly kind: PeerKind;
  readonly address: string;
  /** Whose budgets it counts for; null for a peer of the server's own, which has none. */
  readonly client: string | null;
  /** Lets this peer, and no other, open the PeerJS socket under its id. */
  readonly peerToken: string;
  /** Bytes handed over that the peer has not taken yet. */
  readonly bufferedBytes: number;
  send(message: ServerMessage): void;
  sendFrame(frame: Uint8Array): void;
  /** Says why, then closes. */
  fail(code: ErrorCode, message: string): void;
}

/** Hears all that comes from a socket. A ChorusError thrown from a callback is told to the peer and closes the socket. */
export interface ControlSocketOwner {
  /** The peer has proven its key: called once, before its welcome is sent. */
  onProven(peer: ControlPeer): void;
  onMessage(peer: ControlPeer, message: DeskMessage): void;
  onFrame(peer: ControlPeer, frame: Uint8Array<ArrayBuffer>): void;
  /** The peer's own code shows life: it has sent something, which pongs of its network stack are not. */
  onAlive(peer: ControlPeer): void;
  /** Called once; with null if the peer never proved its key. */
  onClosed(peer: ControlPeer | null, failure: ErrorCode | null): void;
}

export interface ControlSocketDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly identity: Identity;
  readonly iceServersFor: (peer: PeerId) => (ServerMessage & { type: 'welcome' })['iceServers'];
  readonly config: Pick<Config, 'times' | 'limits' | 'relayByDefault'>;
  readonly owner: ControlSocketOwner;
  /** A fault of ours while a message was handled. */
  readonly onError: (error: unknown) => void;
}

/** Runs one accepted socket: challenge, proof, welcome, then messages, one after the other, until it closes. */
export function runControlSocket(socket: WebSocket, { address, client }: SocketSource, deps: ControlSocketDeps): void {
  const { clock, config, owner } = deps;
  const serverNonce = deps.random(CONTROL_NONCE_BYTES);
  const messages = new TokenBucket(config.limits.messages, () => clock.nowMs());
  let peer: ControlPeer | null = null;
  let isProving = false;
  let hasResumed = false;
  let failure: ErrorCode | null = null;

  const write = (data: string | Uint8Array): void => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount <= 2 * config.limits.relayBufferedBytes) return socket.send(data);
    // Messages that a peer does not read would pile up here without end; the relay has stopped its share long before.
    failure ??= 'timeout';
    socket.terminate();
  };
  const send = (message: ServerMessage): void => write(JSON.stringify(message));
  const fail = (code: ErrorCode, message: string): void => {
    if (failure !== null) return;
    failure = code;
    send({ type: 'error', code, message: message.slice(0, MAX_REASON_CHARACTERS) });
    socket.close(1008, code);
    // A peer that does not answer the close handshake would keep the socket.
    clock.setTimer(() => socket.terminate(), config.times.handshakeMs);
  };
  const failWith = (thrown: unknown): void => {
    if (!(thrown instanceof ChorusError)) deps.onError(thrown);
    const error = toChorusError(thrown);
    fail(error.code, error.code === 'internal' ? 'the server failed on this message' : error.message);
  };

  const cancelHandshakeTimer = clock.setTimer(() => {
    if (peer === null) fail('timeout', `no proof within ${config.times.handshakeMs} ms`);
  }, config.times.handshakeMs);

  const prove = async (message: PeerControlMessage): Promise<void> => {
    if (message.type !== 'prove' || isProving) throw new ChorusError('bad-message', 'unproven; one prove comes first');
    isProving = true;
    const { id, publicKey, peerNonce } = await checkProof(message, deps.identity, serverNonce);
    if (failure !== null || socket.readyState !== socket.OPEN) return;
    const transcript = { serverKey: deps.identity.publicKey, peerKey: publicKey, serverNonce, peerNonce };
    const signature = await deps.identity.sign(controlProofBytes('server', transcript));
    if (failure !== null || socket.readyState !== socket.OPEN) return;
    cancelHandshakeTimer();
    const proven: ControlPeer = {
      id,
      kind: message.kind,
      address,
      client,
      peerToken: Buffer.from(deps.random(24)).toString('base64url'),
      get bufferedBytes() {
        return socket.bufferedAmount;
      },
      send,
      sendFrame: write,
      fail,
    };
    peer = proven;
    owner.onProven(proven);
    send({
      type: 'welcome',
      id,
      signature: toBase64(signature),
      peerToken: proven.peerToken,
      iceServers: deps.iceServersFor(id),
      heartbeatMs: config.times.heartbeatMs,
      serverTimeMs: clock.wallMs(),
      relayByDefault: config.relayByDefault,
    });
  };

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (failure !== null) return;
    try {
      if (peer !== null) owner.onAlive(peer);
      if (isBinary) {
        if (peer === null) throw new ChorusError('bad-message', 'a relay frame before the proof');
        owner.onFrame(peer, new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.length));
        return;
      }
      if (!messages.take(1 + data.length / BYTES_PER_MESSAGE))
        throw new ChorusError('rate-limited', 'too many messages on the control socket');
      const message = parsePeerMessage(data, peer === null ? MAX_UNPROVEN_BYTES : MAX_CONTROL_MESSAGE_BYTES);
      if (peer === null) prove(message).catch(failWith);
      else if (message.type === 'prove') throw new ChorusError('bad-message', 'a second prove');
      else if (message.type === 'resume' && hasResumed) throw new ChorusError('bad-message', 'a second resume');
      else if (message.type !== 'alive') owner.onMessage(peer, message);
      hasResumed ||= message.type === 'resume';
    } catch (error) {
      failWith(error);
    }
  });
  // `ws` closes by itself after an error, such as a message above maxPayload; the close event follows.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    cancelHandshakeTimer();
    owner.onClosed(peer, failure);
  });

  send({
    type: 'challenge',
    protocol: PROTOCOL_VERSION,
    nonce: toBase64(serverNonce),
    serverKey: toBase64(deps.identity.publicKey),
  });
}

/** Every field is the peer's word. Throws `too-large` or `bad-message`. */
function parsePeerMessage(data: Buffer, mostBytes: number): PeerControlMessage {
  if (data.length > mostBytes)
    throw new ChorusError('too-large', `${data.length} bytes; at most ${mostBytes} are allowed`);
  let json: unknown;
  try {
    json = JSON.parse(data.toString('utf8'));
  } catch {
    throw new ChorusError('bad-message', 'not JSON');
  }
  const parsed = peerControlMessageSchema.safeParse(json, { error: formWords });
  if (parsed.success) return parsed.data;
  throw new ChorusError('bad-message', firstFault(parsed.error, 'the message'));
}
