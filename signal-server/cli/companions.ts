import type { ServerDeps } from '../server.ts';

/** What runs inside the server's process beside the server: the API's requester and the anchors. Loaded when it starts. */
export const companions: Pick<ServerDeps, 'startGateway' | 'startAnchors'> = {
  startGateway: async (context) => (await import('../gateway/start-gateway.ts')).startGateway(context),
  startAnchors: async (context) => (await import('../node-peer/anchors.ts')).startAnchors(context),
};
