import { once } from 'node:events';
import { WebSocket } from 'ws';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf, randomBytes, verifySignature } from '#shared/crypto/web-crypto.ts';
import type { Digest } from '#shared/ids.ts';
import { PROTOCOL_VERSION } from '#shared/limits.ts';
import {
  serverMessageSchema,
  type Offer,
  type PeerControlMessage,
  type ServerMessage,
} from '#shared/wire/control-message.ts';
import { controlProofBytes } from '#shared/wire/control-proof.ts';

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

/** A control socket with no other manners than to show life, for saying right and wrong things to a server. */
export class RawPeer {
  readonly socket: WebSocket;
  /** False for a peer whose code does not run any more, while its socket stays open and answers pings. */
  showsLife = true;
  readonly #messages: ServerMessage[] = [];
  readonly #frames: Uint8Array<ArrayBuffer>[] = [];
  readonly #wakers = new Set<() => void>();
  #closeCode: number | null = null;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/control`, { headers });
    this.socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.#frames.push(new Uint8Array(data));
      else this.#receive(serverMessageSchema.parse(JSON.parse(data.toString())));
      this.#wake();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', (code) => {
      this.#closeCode = code;
      this.#wake();
    });
  }

  send(message: PeerControlMessage): void {
    this.socket.send(JSON.stringify(message));
  }

  /** The next message of this type that has not been taken; others stay. */
  async take<Type extends ServerMessage['type']>(type: Type): Promise<MessageOf<Type>> {
    return this.#until(() => {
      const index = this.#messages.findIndex((message) => message.type === type);
      return index === -1 ? undefined : (this.#messages.splice(index, 1)[0] as MessageOf<Type>);
    }, type);
  }

  /** Resolves once the server has taken in all that was sent here so far: it answers in order. */
  async heard(): Promise<void> {
    const answered = once(this.socket, 'pong');
    this.socket.ping();
    await answered;
  }

  async takeFrame(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#until(() => this.#frames.shift(), 'a frame');
  }

  /** Messages that came and were not taken. */
  get untaken(): readonly ServerMessage[] {
    return this.#messages;
  }

  /** Resolves with the WebSocket close code. */
  async closed(): Promise<number> {
    return this.#until(() => this.#closeCode ?? undefined, 'the close');
  }

  async close(): Promise<void> {
    if (this.#closeCode !== null) return;
    this.socket.close();
    await this.closed();
  }

  #receive(message: ServerMessage): void {
    this.#messages.push(message);
    const isAsked = message.type === 'alive' && this.showsLife && this.socket.readyState === WebSocket.OPEN;
    if (isAsked) this.send({ type: 'alive' });
  }

  #wake(): void {
    for (const waker of this.#wakers) waker();
  }

  #until<T>(read: () => T | undefined, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const attempt = (): void => {
        const value = read();
        if (value !== undefined) this.#wakers.delete(attempt);
        if (value !== undefined) resolve(value);
        else if (this.#closeCode !== null)
          reject(new Error(`closed (${this.#closeCode}) while waiting for ${what}: ${JSON.stringify(this.#messages)}`));
      };
      this.#wakers.add(attempt);
      attempt();
    });
  }
}

export async function newIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair());
}

/** The right answer to the server's challenge. */
export async function proofFor(
  peer: RawPeer,
  identity: Identity,
): Promise<{
  prove: Extract<PeerControlMessage, { type: 'prove' }>;
  isServer: (welcome: MessageOf<'welcome'>) => Promise<boolean>;
}> {
  const challenge = await peer.take('challenge');
  const serverKey = fromBase64(challenge.serverKey);
  const peerNonce = randomBytes(32);
  const transcript = { serverKey, peerKey: identity.publicKey, serverNonce: fromBase64(challenge.nonce), peerNonce };
  const signature = await identity.sign(controlProofBytes('peer', transcript));
  return {
    prove: {
      type: 'prove',
      protocol: PROTOCOL_VERSION,
      publicKey: toBase64(identity.publicKey),
      signature: toBase64(signature),
      nonce: toBase64(peerNonce),
      kind: 'cli',
    },
    isServer: (welcome) =>
      verifySignature(serverKey, controlProofBytes('server', transcript), fromBase64(welcome.signature)),
  };
}

export interface ProvenPeer extends RawPeer {
  readonly id: Identity['id'];
  readonly identity: Identity;
  readonly welcome: MessageOf<'welcome'>;
}

/** A peer that is connected, proven and welcome. */
export async function connectPeer(
  url: string,
  given?: Identity,
  headers: Record<string, string> = {},
): Promise<ProvenPeer> {
  const identity = given ?? (await newIdentity());
  const peer = new RawPeer(url, headers);
  await once(peer.socket, 'open');
  const { prove } = await proofFor(peer, identity);
  peer.send(prove);
  const welcome = await peer.take('welcome');
  return Object.assign(peer, { id: identity.id, identity, welcome });
}

export function offerOf(overrides: Partial<Offer> = {}): Offer {
  return {
    type: 'offer',
    backend: 'wasm',
    numericClass: 'wasm',
    runtimeVersion: '1.30.0',
    pledgeBytes: 1e9,
    webrtc: false,
    slots: 1,
    held: [],
    layerMs: 1,
    ...overrides,
  };
}

/** A peer that volunteers and is ready with whatever it is given: the server knows it is. */
export async function connectVolunteer(
  url: string,
  overrides: Partial<Offer> = {},
  headers: Record<string, string> = {},
): Promise<ProvenPeer & { assigned: MessageOf<'assign'> }> {
  const peer = await connectPeer(url, undefined, headers);
  peer.send(offerOf(overrides));
  const assigned = await peer.take('assign');
  peer.send({ type: 'ready', assignment: assigned.assignment, layerMs: 1, probeError: 0 });
  await peer.heard();
  return Object.assign(peer, { assigned });
}

export function routeRequest(
  model: Digest,
  overrides: Partial<Extract<PeerControlMessage, { type: 'route' }>> = {},
): Extract<PeerControlMessage, { type: 'route' }> {
  return {
    type: 'route',
    request: 1,
    model,
    capacity: 128,
    webrtc: false,
    policy: { shadows: 0, minStages: 1 },
    exclude: [],
    ...overrides,
  };
}
