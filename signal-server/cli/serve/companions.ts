import { startGateway } from '../../gateway/start-gateway.ts';
import { startAnchors } from '../../node-peer/anchors.ts';
import type { ServerDeps } from '../../server.ts';

/** The companions of a server in its process: the API's requester and the anchors. */
export const companions: Pick<ServerDeps, 'startGateway' | 'startAnchors'> = {
  startGateway,
  startAnchors: (context) => startAnchors(context),
};
