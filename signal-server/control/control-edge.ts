import type { IncomingMessage, Server } from 'node:http';
import type { Clock, RandomBytes } from '#shared/clock.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId } from '#shared/ids.ts';
import { MAX_CONTROL_MESSAGE_BYTES } from '#shared/limits.ts';
import { RefusalLog } from '../gate/refusal-log.ts';
import type { SocketRefusal } from '../gate/socket-refusal.ts';
import { createUpgradeGate } from '../gate/upgrade-gate.ts';
import type { Config } from '../machine/config.ts';
import type { EdgeEnd } from '../peer-router/control-router.ts';
import type { Metrics } from '../view/metrics.ts';
import { ControlHub, type Connected } from './control-hub.ts';
import { runControlSocket } from './control-socket.ts';
import { iceServersFor } from './ice-servers.ts';
import { createPeerMount, PEER_MOUNT_PATH } from './peer-mount.ts';
import { RelayRouter } from './relay-router.ts';

export interface ControlEdgeDeps {
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** The server's own: it proves this key to every peer. */
  readonly identity: Identity;
  readonly router: EdgeEnd;
  readonly metrics: Pick<Metrics, 'controlErrors' | 'relayFrames' | 'relayBytes' | 'upgradesRefused'>;
  readonly config: Config;
  /** As of the upgrade gate. */
  readonly ownToken?: string;
  /** A fault of ours while a message was handled. */
  readonly onError: (error: unknown) => void;
  /** A stranger asks for a socket. */
  readonly onSocketAsked: (request: IncomingMessage) => void;
  /** Something that the operator should mend, in a sentence. */
  readonly onAdvice: (message: string) => void;
}

/** Everything that has a socket: accepts peers, proves keys, relays frames between peers, and knows who is connected. */
export interface ControlEdge {
  /** Open sockets, those of PeerJS among them. */
  readonly open: number;
  /** Why a socket that came like this request would not be taken; null if it would be. */
  refusalOf(request: IncomingMessage): Promise<SocketRefusal | null>;
  /** Says that the server is there, and drops those that do not answer. To be called every `heartbeatMs`. */
  beat(): void;
  /** Closes all sockets, by force after `graceMs`, then its end of the router. */
  close(graceMs: number): Promise<void>;
}

/** Takes the upgrade requests of this HTTP server. */
export function createControlEdge(server: Server, deps: ControlEdgeDeps): ControlEdge {
  const { clock, config, metrics, router } = deps;
  const { limits, times } = config;
  const peers = new Map<PeerId, Connected>();
  const relay = new RelayRouter({
    clock,
    peer: (id) => peers.get(id)?.peer,
    limits,
    onRelayed: (bytes) => {
      metrics.relayFrames.inc();
      metrics.relayBytes.inc(bytes);
    },
  });
  const peerMount = createPeerMount(server, { clock, tokenOf: (id) => peers.get(id)?.peer.peerToken, limits });
  const hub = new ControlHub(peers, { clock, router, relay, peerMount, metrics });
  const socketDeps = {
    ...deps,
    owner: hub,
    iceServersFor: (id: PeerId) => iceServersFor(id, config, clock.wallMs()),
  };
  const refusalLog = new RefusalLog(clock, deps.onAdvice);
  const gate = createUpgradeGate(server, {
    config,
    ownToken: deps.ownToken,
    paths: {
      '/control': {
        maxPayloadBytes: MAX_CONTROL_MESSAGE_BYTES,
        accept: (socket, source) => runControlSocket(socket, source, socketDeps),
      },
      [PEER_MOUNT_PATH]: {
        maxPayloadBytes: MAX_CONTROL_MESSAGE_BYTES,
        accept: (socket, _source, url) => peerMount.accept(socket, url),
      },
    },
    onAsked: deps.onSocketAsked,
    onRefused(refusal) {
      metrics.upgradesRefused.inc({ status: refusal.status.slice(0, 3) });
      refusalLog.add(refusal);
    },
  });

  return {
    get open() {
      return gate.open;
    },
    refusalOf: (request) => gate.refusalOf(request),
    beat() {
      gate.ping();
      hub.beat(Math.ceil(times.heartbeatTimeoutMs / times.heartbeatMs));
    },
    async close(graceMs) {
      await gate.close(graceMs);
      await router.close(graceMs);
    },
  };
}
