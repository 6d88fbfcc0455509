import { startGateway } from '../../gateway/start-gateway.ts';
import { startHidden } from '../../gateway/start-hidden.ts';
import { startAnchors } from '../../node-peer/anchors.ts';
import { startStandIns } from '../../node-peer/stand-in-volunteers.ts';
import type { ServerDeps } from '../../server.ts';

/** The companions of a server in its process: the API's requesters, hidden sessions and who stands in for anchors there, and the anchors. */
export const companions: Pick<ServerDeps, 'startGateway' | 'startHidden' | 'startStandIns' | 'startAnchors'> = {
  startGateway,
  startHidden,
  startStandIns,
  startAnchors: (context) => startAnchors(context),
};
