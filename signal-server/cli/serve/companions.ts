import { startGateway } from '../../gateway/start-gateway.ts';
import { startAnchors } from '../../node-peer/anchors.ts';
import type { ServerDeps } from '../../server.ts';

/** What runs inside the server process beside the server: the API's requester and the anchors. */
export const companions: Pick<ServerDeps, 'startGateway' | 'startAnchors'> = {
  startGateway,
  startAnchors: (context) => startAnchors(context),
};
