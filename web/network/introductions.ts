import type { Peer } from 'peerjs';
import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import { peerIdSchema } from '#shared/ids.ts';

const OFFERS_PER_MINUTE = 120;
const OFFER_BURST = 30;
/** Incoming connections that have not opened yet. */
const MAX_UNOPENED = 32;

const description = z.object({ type: z.string().max(20), sdp: z.string().max(32_768) });
const connectionId = z.string().max(100);

/** The messages that the signal server may send to a PeerJS client; it looks at these fields only. */
const introductionSchema = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['OPEN', 'ERROR', 'ID-TAKEN', 'INVALID-KEY']) }),
  z.object({ type: z.enum(['LEAVE', 'EXPIRE']), src: peerIdSchema }),
  z.object({
    type: z.literal('OFFER'),
    src: peerIdSchema,
    payload: z.object({ type: z.literal('data'), serialization: z.literal('raw'), connectionId, sdp: description }),
  }),
  z.object({ type: z.literal('ANSWER'), src: peerIdSchema, payload: z.object({ connectionId, sdp: description }) }),
  z.object({
    type: z.literal('CANDIDATE'),
    src: peerIdSchema,
    payload: z.object({ connectionId, candidate: z.unknown() }),
  }),
]);

/**
 * Lets only sound introductions reach PeerJS, which would make a peer connection for every offer, keep candidates of
 * unknown connections without bound, and let the other side choose a serializer by name. `unopened` counts the
 * incoming connections that are on their way. It wraps an internal method of PeerJS 1.5.5; a test holds it to that.
 */
export function fenceIntroductions(peer: Peer, clock: Clock, unopened: () => number): void {
  const inner = peer as unknown as { _handleMessage: (message: unknown) => void };
  const handle = inner._handleMessage.bind(peer);
  let offers = OFFER_BURST;
  let filledAtMs = clock.nowMs();
  const takeOffer = (): boolean => {
    const nowMs = clock.nowMs();
    offers = Math.min(OFFER_BURST, offers + ((nowMs - filledAtMs) * OFFERS_PER_MINUTE) / 60_000);
    filledAtMs = nowMs;
    if (offers < 1 || unopened() >= MAX_UNOPENED) return false;
    offers--;
    return true;
  };
  inner._handleMessage = (message) => {
    const parsed = introductionSchema.safeParse(message);
    if (!parsed.success) return;
    const { data } = parsed;
    const mayPass =
      data.type === 'OFFER'
        ? takeOffer()
        : data.type === 'ANSWER' || data.type === 'CANDIDATE'
          ? Boolean(peer.getConnection(data.src, data.payload.connectionId))
          : true;
    if (mayPass) handle(message);
  };
}
