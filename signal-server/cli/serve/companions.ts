import { startGateway } from '../../gateway/start-gateway.ts';
import { startHidden } from '../../gateway/start-hidden.ts';
import { startAnchors } from '../../node-peer/anchors.ts';
import type { ServerDeps } from '../../server.ts';

/** The companions of a server in its process: the API's requesters, hidden sessions and the anchors. */
export const companions: Pick<ServerDeps, 'startGateway' | 'startHidden' | 'startAnchors'> = {
  startGateway,
  startHidden,
  startAnchors: (context) => startAnchors(context, context.lent),
};
