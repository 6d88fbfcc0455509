import { equalBytes, fromBase64, toBase64 } from '../../bytes.ts';
import type { RandomBytes, ServerClock } from '../../clock.ts';
import type { Identity, VerifySignature } from '../../crypto/identity.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_CONTROL_MESSAGE_BYTES, PROTOCOL_VERSION } from '../../limits.ts';
import { serverMessageSchema, type PeerControlMessage, type ServerMessage } from '../../wire/control-message.ts';
import { CONTROL_NONCE_BYTES, controlProofBytes } from '../../wire/control-proof.ts';
import type { PeerKind } from '../../wire/peer-kind.ts';
import type { Socket } from './socket.ts';

export type Welcome = Extract<ServerMessage, { type: 'welcome' }>;

export interface ControlDeps {
  readonly openSocket: () => Socket;
  readonly identity: Identity;
  readonly kind: PeerKind;
  /** Hears the server's time of day. */
  readonly clock: ServerClock;
  readonly random: RandomBytes;
  readonly verify: VerifySignature;
  /** The key the server had before, where it is known. */
  readonly expectedServerKey?: Uint8Array<ArrayBuffer>;
  /** Asks the server on another way why no socket opened. Platforms hide how it refused one. */
  readonly whyNotOpened?: (signal: AbortSignal) => Promise<ChorusError | null>;
  /** Ends the attempt, and the client with it. */
  readonly signal: AbortSignal;
}

export interface ControlConnection {
  readonly socket: Socket;
  readonly welcome: Welcome;
  readonly serverKey: Uint8Array<ArrayBuffer>;
  /** Gives the socket's events to the client, those included that came while the welcome was checked. */
  handOver(to: Pick<Socket, 'onMessage' | 'onClose'>): void;
}

/**
 * One socket, up to a welcome whose signature is checked. Rejects as `connectControl` does; `expectedKey` is the only
 * server key that will do, if given.
 */
export function openConnection(
  deps: ControlDeps,
  expectedKey: Uint8Array<ArrayBuffer> | undefined,
): Promise<ControlConnection> {
  return new Promise((resolve, reject) => {
    if (deps.signal.aborted) throw new ChorusError('cancelled', 'no longer wanted');
    const socket = deps.openSocket();
    const early: (string | Uint8Array<ArrayBuffer>)[] = [];
    let closeReason: string | undefined;
    let step = 0;
    let transcript: Transcript | undefined;
    let isSettled = false;

    const settle = (): void => {
      isSettled = true;
      stopTimer();
      deps.signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: ChorusError): void => {
      settle();
      socket.onMessage = () => {};
      socket.close();
      reject(error);
    };
    const onAbort = (): void => fail(new ChorusError('cancelled', 'no longer wanted'));
    const stopTimer = deps.clock.setTimer(
      () => fail(new ChorusError('timeout', 'the server did not answer in time')),
      HANDSHAKE_TIMEOUT_MS,
    );
    deps.signal.addEventListener('abort', onAbort);

    const handle = async (text: string | Uint8Array<ArrayBuffer>, at: number): Promise<void> => {
      const message = typeof text === 'string' ? parseServerMessage(text) : null;
      if (message?.type === 'error') throw new ChorusError(message.code, message.message);
      if (at === 0 && message?.type === 'challenge') {
        transcript = readChallenge(message, deps, expectedKey);
        const signature = await deps.identity.sign(controlProofBytes('peer', transcript));
        socket.send(
          JSON.stringify({
            type: 'prove',
            protocol: PROTOCOL_VERSION,
            publicKey: toBase64(deps.identity.publicKey),
            signature: toBase64(signature),
            nonce: toBase64(transcript.peerNonce),
            kind: deps.kind,
          } satisfies PeerControlMessage),
        );
      } else if (at === 1 && transcript && message?.type === 'welcome') {
        await checkWelcome(message, transcript, deps);
        deps.clock.hear(message.serverTimeMs);
        settle();
        resolve({
          socket,
          welcome: message,
          serverKey: transcript.serverKey,
          handOver: (to) => {
            socket.onMessage = to.onMessage;
            socket.onClose = to.onClose;
            for (const one of early.splice(0)) to.onMessage(one);
            if (closeReason !== undefined) to.onClose(closeReason);
          },
        });
      } else {
        throw new ChorusError('bad-message', 'the server does not speak in turn');
      }
    };

    socket.onMessage = (text) => {
      // Two messages make the handshake; what follows the welcome waits for its listener.
      if (step >= 2) early.push(text);
      else handle(text, step++).catch((thrown: unknown) => fail(toChorusError(thrown)));
    };
    socket.onClose = (reason) => {
      closeReason = reason;
      const lost = new ChorusError('server-lost', reason);
      if (step > 0 || isSettled || deps.whyNotOpened === undefined) return fail(lost);
      deps.whyNotOpened(deps.signal).then(
        (why) => fail(why ?? lost),
        () => fail(lost),
      );
    };
  });
}

interface Transcript {
  readonly serverKey: Uint8Array<ArrayBuffer>;
  readonly peerKey: Uint8Array<ArrayBuffer>;
  readonly serverNonce: Uint8Array<ArrayBuffer>;
  readonly peerNonce: Uint8Array<ArrayBuffer>;
}

function readChallenge(
  challenge: Extract<ServerMessage, { type: 'challenge' }>,
  { identity, random }: ControlDeps,
  expectedKey: Uint8Array<ArrayBuffer> | undefined,
): Transcript {
  if (challenge.protocol !== PROTOCOL_VERSION) {
    throw new ChorusError(
      'protocol-version',
      `the server speaks version ${challenge.protocol} of the protocol, this program ${PROTOCOL_VERSION}; reload or update`,
    );
  }
  const serverKey = parseBase64(challenge.serverKey, 32);
  if (expectedKey && !equalBytes(serverKey, expectedKey)) {
    throw new ChorusError('wrong-peer', 'the server shows another key than before: it may not be the same server');
  }
  return {
    serverKey,
    peerKey: identity.publicKey,
    serverNonce: parseBase64(challenge.nonce, CONTROL_NONCE_BYTES),
    peerNonce: random(CONTROL_NONCE_BYTES),
  };
}

async function checkWelcome(
  welcome: Welcome,
  transcript: Transcript,
  { identity, verify }: ControlDeps,
): Promise<void> {
  if (welcome.id !== identity.id) throw new ChorusError('bad-message', 'the server welcomes somebody else');
  const signature = parseBase64(welcome.signature, 64);
  if (!(await verify(transcript.serverKey, controlProofBytes('server', transcript), signature))) {
    throw new ChorusError('bad-signature', 'the server does not hold the key it showed');
  }
}

export function parseServerMessage(text: string): ServerMessage {
  if (text.length > MAX_CONTROL_MESSAGE_BYTES) throw new ChorusError('too-large', 'server message above the limit');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ChorusError('bad-message', 'the server sent something that is not JSON');
  }
  const parsed = serverMessageSchema.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
    throw new ChorusError('bad-message', `the server sent a message this program does not know (${where})`);
  }
  return parsed.data;
}

function parseBase64(text: string, bytes: number): Uint8Array<ArrayBuffer> {
  let parsed: Uint8Array<ArrayBuffer>;
  try {
    parsed = fromBase64(text);
  } catch {
    throw new ChorusError('bad-message', 'not base64');
  }
  if (parsed.length !== bytes) throw new ChorusError('bad-message', `${parsed.length} bytes where ${bytes} belong`);
  return parsed;
}
