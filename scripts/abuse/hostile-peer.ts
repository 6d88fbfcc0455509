import { WebSocket } from 'ws';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { PROTOCOL_VERSION } from '#shared/limits.ts';
import { controlProofBytes } from '#shared/wire/control-proof.ts';
import { systemRandom } from '../../signal-server/machine/system-clock.ts';

/** Another address of this machine than the honest client's, so that each has budgets of its own. */
export const HOSTILE_ADDRESS = '127.0.0.66';

export type Message = Record<string, unknown> & { readonly type: string };

/** A peer that proves its key and then does as an attack wants. */
export class HostilePeer {
  readonly identity: Identity;
  readonly socket: WebSocket;
  onMessage: (message: Message) => void = () => undefined;
  onFrame: (frame: Buffer) => void = () => undefined;
  onClose: (reason: string) => void = () => undefined;

  constructor(identity: Identity, socket: WebSocket) {
    this.identity = identity;
    this.socket = socket;
  }

  /** Rejects where the server does not take it. */
  static async connect(url: string): Promise<HostilePeer> {
    const identity = await identityOf(await generateKeyPair());
    const socket = openSocket(url);
    const peer = new HostilePeer(identity, socket);
    let lastError = '';
    await new Promise<void>((resolve, reject) => {
      socket.on('error', (error) => reject(error));
      socket.on('close', (code) => {
        const reason = lastError || `closed with ${code}`;
        reject(new Error(reason));
        peer.onClose(reason);
      });
      socket.on('message', (data: Buffer, isBinary: boolean) => {
        if (isBinary) return peer.onFrame(data);
        const message = JSON.parse(data.toString()) as Message;
        if (message.type === 'challenge') peer.#prove(message).catch(reject);
        else if (message.type === 'welcome') resolve();
        else if (message.type === 'alive') peer.send({ type: 'alive' });
        else {
          if (message.type === 'error') lastError = String(message['code']);
          peer.onMessage(message);
        }
      });
    });
    return peer;
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(message: Message | string | Uint8Array): void {
    if (!this.isOpen) return;
    this.socket.send(typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message));
  }

  async #prove({ serverKey, nonce }: Message): Promise<void> {
    const own = systemRandom(32);
    const proof = controlProofBytes('peer', {
      serverKey: fromBase64(String(serverKey)),
      peerKey: this.identity.publicKey,
      serverNonce: fromBase64(String(nonce)),
      peerNonce: own,
    });
    this.send({
      type: 'prove',
      protocol: PROTOCOL_VERSION,
      publicKey: toBase64(this.identity.publicKey),
      signature: toBase64(await this.identity.sign(proof)),
      nonce: toBase64(own),
      kind: 'cli',
    });
  }
}

/** A control socket that has proven nothing. */
export function openSocket(url: string): WebSocket {
  return new WebSocket(`${url.replace(/^http/, 'ws')}/control`, {
    localAddress: HOSTILE_ADDRESS,
    perMessageDeflate: false,
  });
}
