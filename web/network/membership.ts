import type { RandomBytes, ServerClock } from '#shared/clock.ts';
import type { ControlState } from '#shared/peer/control/control-client.ts';
import type { TransportNotice } from '#shared/peer/link/link-pool.ts';
import type { IdentityDeps } from '../browser/identity.ts';
import { orAborted } from '../browser/or-aborted.ts';
import { loadedPart } from '../browser/page-program.ts';
import type { PageConnection } from '../state/connection.svelte.ts';
import type { PathChoice } from '../state/path-choice.svelte.ts';
import type { Joined } from './join.ts';

export interface MembershipDeps {
  readonly serverUrl: string;
  readonly clock: ServerClock;
  readonly random: RandomBytes;
  readonly connection: PageConnection;
  readonly path: PathChoice;
  /** Of the key. */
  readonly storage: IdentityDeps;
}

/** Joins the network when somebody first needs it, once for all, and again after the connection has ended for good. */
export class Membership {
  readonly #deps: MembershipDeps;
  #joined: Promise<Joined> | null = null;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
    deps.path.onChoice(() => {
      this.#joined?.then(
        (joined) => joined.followPath(),
        () => undefined,
      );
    });
  }

  /** Rejects as `joinNetwork` does; `cancelled` if `signal` aborts first, which leaves the joining to others. */
  async join(signal: AbortSignal): Promise<Joined> {
    this.#joined ??= this.#join();
    return orAborted(this.#joined, signal);
  }

  async #join(): Promise<Joined> {
    const { connection, path, ...deps } = this.#deps;
    connection.status = 'connecting';
    try {
      // The peer code comes with the first question or the first Start, not with the page.
      const { joinNetwork } = await loadedPart(import('./join.ts'));
      const joined = await joinNetwork({
        ...deps,
        isRelayOnly: () => path.isRelayOnly,
        onWelcome: ({ relayByDefault }) => {
          path.relayByDefault = relayByDefault;
          connection.clockAheadMs = deps.clock.aheadMs;
        },
        onState: (state) => this.#onState(state),
        onTransport: (notice) => this.#onTransport(notice),
        onLink: (link) => connection.addLink(link),
      });
      connection.id = joined.control.id;
      return joined;
    } catch (error) {
      connection.status = 'off';
      this.#joined = null;
      throw error;
    }
  }

  #onState(state: ControlState): void {
    const { connection } = this.#deps;
    connection.status = state.type;
    connection.detail = state.type === 'open' ? '' : state.reason;
    if (state.type === 'closed') this.#joined = null;
  }

  #onTransport({ peer, transport, reason }: TransportNotice): void {
    if (transport === 'relay' && reason !== null) this.#deps.connection.fallBack(peer);
  }
}
