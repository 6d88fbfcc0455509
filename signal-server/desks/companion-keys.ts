import type { PeerId } from '#shared/ids.ts';

/** Peers that the server itself starts. Their private keys are its own, so nobody else can be them. */
export type CompanionKind = 'anchor' | 'gateway';

/**
 * Keys of the gateway that are remembered: it has a fresh one for each answer. A receipt may come a second time, which is
 * taken only while its requester is known.
 */
const MAX_GATEWAY_KEYS = 20_000;

/** Which keys are the server's own. */
export class CompanionKeys {
  readonly #anchors = new Set<PeerId>();
  readonly #gateways = new Set<PeerId>();

  enlist(id: PeerId, kind: CompanionKind): void {
    if (kind === 'anchor') {
      this.#anchors.add(id);
      return;
    }
    this.#gateways.add(id);
    for (const oldest of this.#gateways) {
      if (this.#gateways.size <= MAX_GATEWAY_KEYS) break;
      this.#gateways.delete(oldest);
    }
  }

  isOwn(id: PeerId): boolean {
    return this.isAnchor(id) || this.isGateway(id);
  }

  isAnchor(id: PeerId): boolean {
    return this.#anchors.has(id);
  }

  /** True for every requester in whose name the server asks; hidden ones are among them. */
  isGateway(id: PeerId): boolean {
    return this.#gateways.has(id);
  }
}
