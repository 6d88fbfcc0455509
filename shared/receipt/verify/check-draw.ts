import { fromBase64 } from '../../bytes.ts';
import { peerIdOf } from '../../crypto/identity.ts';
import type { RosterDraw } from '../../draw/draw-form.ts';
import { verifyDraw, type DrawnRoute, type VerifiedDraw } from '../../draw/verify-draw.ts';
import { evaluatePolicy, parsePolicy } from '../../log/policy.ts';
import { assignedTo } from './check-route.ts';
import { count, demand, type CheckReceipt, type Subject } from './check.ts';

/**
 * The replicas are those that the network's key and the requester's nonce gave, out of a roster that the log had before. A route
 * whose replicas the server chose says so: that is no fault, and nothing is shown.
 */
export const checkDraw: CheckReceipt = async (subject) => {
  const { route, holdings } = subject;
  if (route === null) return { notChecked: 'there is no route whose draw could be repeated' };
  const { draw } = route;
  if (draw === undefined) return { notChecked: 'the server chose the replicas: it has no log to draw from' };
  if (draw.by === 'server') return { notChecked: `the server chose the replicas: ${draw.reason}` };
  const verified = await verifyDraw(draw, drawnRouteOf(subject), holdings.verify);
  if (holdings.policy !== undefined) {
    const { logs } = parsePolicy(holdings.policy);
    const { log } = await evaluatePolicy({ logs, witnesses: [], quorum: null }, verified.note, holdings.verify);
    demand(log !== null, 'no log of the policy signed the checkpoint that the roster is in');
  }
  return describeDraw(draw, verified, holdings.policy !== undefined);
};

/** The finding, in words for people. */
export function describeDraw(draw: RosterDraw, { skips, networks }: VerifiedDraw, isOfPolicy: boolean): string {
  const skipped = [
    skips.busy > 0 && `${skips.busy} busy by their own word`,
    skips['left-out'] > 0 && `${skips['left-out']} that this requester had lost before`,
    skips.failed > 0 && `${skips.failed} that had failed this requester a moment before, by its own word`,
    skips.gone > 0 && `${skips.gone} gone or full by the server’s word alone`,
  ].filter((each) => each !== false);
  const before = draw.count.number - 1;
  return [
    `drawn rightly: the primaries among ${networks.join(', ')} networks of the roster in entry ${draw.roster.index} of the log`,
    skipped.length > 0 && `; passed over: ${skipped.join(', ')}`,
    `; ${before === 0 ? 'no request' : count(before, 'request')} of this network went before, by the server’s count`,
    '; who is on that roster the operator says, and with the requester it could try nonces',
    !isOfPolicy && '; without a policy nobody says whose log that is',
  ]
    .filter((each) => each !== false)
    .join('');
}

function drawnRouteOf({ route, predicate }: Subject): DrawnRoute {
  const { model, requester, capacity, issuedAtMs, stages } = route!;
  return {
    ...{ model, requester: requester.id, capacity, issuedAtMs },
    server: peerIdOf(fromBase64(predicate.route.serverKey)),
    requesterKey: fromBase64(predicate.requester.publicKey),
    stages: stages.map((stage) => ({ range: stage.range, replicas: assignedTo(stage) })),
  };
}
