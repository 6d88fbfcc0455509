import type { PeerId } from '#shared/ids.ts';

/** Peers that the server itself starts. Their private keys are its own, so nobody else can be them. */
export type CompanionKind = 'anchor' | 'stand-in' | 'gateway';

/**
 * Keys of the gateway that are remembered: it has a fresh one for each answer. A receipt may come a second time, which is
 * taken only while its requester is known.
 */
const MAX_GATEWAY_KEYS = 20_000;
/** Stand-ins have fresh keys each time, and claims of theirs may come after they have gone. */
const MAX_STAND_INS = 1_000;

/** Which keys are the server's own. */
export class CompanionKeys {
  readonly #anchors = new Set<PeerId>();
  readonly #gateways = new Set<PeerId>();
  readonly #standIns = new Set<PeerId>();

  enlist(id: PeerId, kind: CompanionKind): void {
    if (kind === 'anchor') {
      this.#anchors.add(id);
      return;
    }
    const [keys, most] = kind === 'gateway' ? [this.#gateways, MAX_GATEWAY_KEYS] : [this.#standIns, MAX_STAND_INS];
    keys.add(id);
    for (const oldest of keys) {
      if (keys.size <= most) break;
      keys.delete(oldest);
    }
  }

  isOwn(id: PeerId): boolean {
    return this.isAnchor(id) || this.isGateway(id);
  }

  /** True for the server's own volunteers, those that stand in for anchors in hidden sessions among them. */
  isAnchor(id: PeerId): boolean {
    return this.#anchors.has(id) || this.#standIns.has(id);
  }

  /** True for every requester in whose name the server asks; hidden ones are among them. */
  isGateway(id: PeerId): boolean {
    return this.#gateways.has(id);
  }
}
