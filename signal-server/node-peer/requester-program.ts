import type { Identity } from '#shared/crypto/identity.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { Requester } from '#shared/peer/requester/requester.ts';
import { systemRandom as random } from '../machine/system-clock.ts';
import { connectPeer, type NodePeer } from './node-connection.ts';

export interface NodeRequester {
  readonly requester: Requester;
  readonly control: NodePeer['control'];
  readonly clock: NodePeer['clock'];
  readonly close: () => void;
}

/** A requester without a browser. Rejects as `connectControl` does. */
export async function createNodeRequester(options: {
  readonly serverUrl: URL;
  readonly identity: Identity;
  readonly kind: 'gateway' | 'cli';
  /** As of `connectPeer`. */
  readonly ownToken?: string;
  /** Ends the connecting and the connection. */
  readonly signal: AbortSignal;
}): Promise<NodeRequester> {
  const { control, links, clock, close } = await connectPeer(options);
  const requester = new Requester({
    ...{ control, links, identity: options.identity, clock, random, verify },
    ...{ webrtc: false, asksDraws: options.kind !== 'gateway' },
  });
  return {
    requester,
    control,
    clock,
    close() {
      requester.close();
      close();
    },
  };
}
