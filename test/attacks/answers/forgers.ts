import { setTimeout as sleep } from 'node:timers/promises';
import { toBase64, utf8 } from '#shared/bytes.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import { parseJsonBytes, canonicalBase64 } from '#shared/crypto/strict-envelope.ts';
import { releaseMessage } from '#shared/requester/route-release.ts';
import { routeSchema } from '#shared/route/route.ts';
import { networkSnapshotSchema } from '#shared/wire/network-snapshot.ts';
import { connectPeer, routeRequest } from '../../support/control-peer.ts';

/** What a liar does besides lending, until it is stopped. */
export interface Mischief {
  stop(): Promise<void>;
}

/** How often a fresh key asks for a route, complains of all on it, and claims credit in their names. */
const EVERY_MS = 400;

/** Requesters under fresh keys that never use their routes, call everybody on them late, and hand in claims that they made up. */
export async function startForger(url: string): Promise<Mischief> {
  const { models } = networkSnapshotSchema.parse(await (await fetch(`${url}/api/network`)).json());
  const model = models[0]!.digest;
  const stopping = new AbortController();
  const forge = async (): Promise<void> => {
    const peer = await connectPeer(url);
    try {
      peer.send(routeRequest(model, { policy: { shadows: 2, minStages: 2 } }));
      const { route: envelope } = await peer.take('routed');
      const { session, stages } = routeSchema.parse(parseJsonBytes(canonicalBase64(envelope.payload)));
      const replicas = stages.flatMap(({ primary, shadows }) => [primary, ...shadows]);
      const claim = () => ({
        publicKey: toBase64(randomBytes(32)),
        claim: toBase64(utf8('none')),
        signature: toBase64(randomBytes(64)),
      });
      peer.send({ type: 'claims', session, stage: 0, claims: [claim(), claim()] });
      const faults = replicas.map(({ id }) => ({ volunteer: id, code: 'timeout' as const }));
      peer.send({ ...releaseMessage(session, 'failed'), faults });
      await peer.heard();
    } finally {
      await peer.close();
    }
  };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      // A server that refuses, or closes on what it cannot read, is not what is looked at here.
      await Promise.race([forge().catch(() => undefined), sleep(5_000)]);
      await sleep(EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
