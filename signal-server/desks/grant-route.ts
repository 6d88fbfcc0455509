import { utf8 } from '#shared/bytes.ts';
import { signEnvelope } from '#shared/crypto/dsse.ts';
import type { Envelope } from '#shared/crypto/envelope.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { ROUTE_PAYLOAD_TYPE, type Route } from '#shared/route/route.ts';
import { SEAT_PAYLOAD_TYPE, seatsOf } from '#shared/route/seat.ts';
import type { DesksEnd, PeerAddress } from '../peer-router/control-router.ts';
import type { Registry } from '../placement/registry.ts';

/** A route as the server gives it out. */
export interface SignedGrant {
  /** For the requester, and for whoever verifies what becomes of it. */
  readonly route: Envelope;
  /** Each for its volunteer, and for nobody else. */
  readonly seats: readonly { readonly volunteer: PeerId; readonly seat: Envelope }[];
}

/** Gives it out: to the volunteers first, so that they have their seats before anybody opens the session. */
export function giveOut(
  { route, seats }: SignedGrant,
  requester: PeerAddress,
  request: number,
  { registry, send }: { readonly registry: Registry; readonly send: DesksEnd['send'] },
): void {
  for (const { volunteer, seat } of seats) {
    const member = registry.get(volunteer);
    if (member !== undefined) send(member, { type: 'seat', seat });
  }
  send(requester, { type: 'routed', request, route });
}

export type SignGrant = (route: Route) => Promise<SignedGrant>;

/** Signs a route and the seats of its replicas with this key. */
export function signGrantWith(identity: Identity): SignGrant {
  const sign = (type: string, document: object): Promise<Envelope> =>
    signEnvelope(identity, type, utf8(JSON.stringify(document)));
  return async (route) => {
    const seats = seatsOf(route).map(async (seat) => ({
      volunteer: seat.volunteer,
      seat: await sign(SEAT_PAYLOAD_TYPE, seat),
    }));
    return { route: await sign(ROUTE_PAYLOAD_TYPE, route), seats: await Promise.all(seats) };
  };
}
