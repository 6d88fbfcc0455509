import { fromBase64 } from '../../bytes.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import { openStrictly } from '../../crypto/strict-envelope.ts';
import { sameRange } from '../../model/stage.ts';
import { ROUTE_PAYLOAD_TYPE, type Route } from '../../route/route.ts';
import { demand, refuse, type CheckReceipt, type ReplicaEntry } from './check.ts';

/** The server named in the receipt signed the route. */
export const checkRouteSignature: CheckReceipt = async ({ predicate: { route }, holdings: { verify } }) => {
  const key = fromBase64(route.serverKey);
  await openStrictly(route.envelope, ROUTE_PAYLOAD_TYPE, key, verify);
  return `the server with key ${peerIdOf(key)} signed who was to run what`;
};

/** The receipt is about the session, model, requester, ranges, keys and classes that the server assigned. */
export const checkRouteMatch: CheckReceipt = ({ route, predicate }) => {
  if (route === null) return refuse('its envelope holds no route');
  const { requester, model, session, stages, positions } = predicate;
  demand(route.purpose === 'answer', 'the route is not for an answer');
  demand(route.session === session, 'the route is of another session');
  demand(route.model === model.manifest.sha256, 'the route is for another model');
  demand(route.requester.id === requester.id, 'the route was given to another requester');
  demand(route.capacity >= positions, `the route was for ${route.capacity} positions`);
  demand(route.stages.length === stages.length, `the route has ${route.stages.length} stages`);
  for (const [i, { range, replicas }] of stages.entries()) {
    const assigned = route.stages[i]!;
    demand(sameRange(range, assigned.range), `stage ${i + 1} of the route has other layers`);
    const expected = assignedTo(assigned);
    demand(replicas.length === expected.length, `the route gives stage ${i + 1} ${expected.length} replicas`);
    demand(new Set(replicas.map(({ id }) => id)).size === replicas.length, `stage ${i + 1} has one key twice`);
    for (const [j, { id, role, numericClass }] of replicas.entries()) {
      const { id: assignedId, role: assignedRole, numericClass: assignedClass } = expected[j]!;
      demand(id === assignedId && role === assignedRole, `the route gives stage ${i + 1} to other keys`);
      demand(numericClass === assignedClass, `the route has ${id} in the class ${assignedClass}`);
    }
  }
  return `session, model, requester and all ${stages.length} stages are as the server assigned them`;
};

/** The replicas of a route's stage, in the order in which receipts have them. */
export function assignedTo({
  primary,
  shadows,
}: Route['stages'][number]): Pick<ReplicaEntry, 'id' | 'role' | 'numericClass'>[] {
  return [
    { id: primary.id, role: 'primary', numericClass: primary.numericClass },
    ...shadows.map(({ id, numericClass }) => ({ id, role: 'shadow' as const, numericClass })),
  ];
}
