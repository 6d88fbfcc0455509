import { fromStrictBase64 } from '#shared/bytes.ts';
import { peerIdOf, type VerifySignature } from '#shared/crypto/identity.ts';
import type { SignedState } from '#shared/draw/draw-form.ts';
import { isFresh, stateBytes } from '#shared/draw/volunteer-state.ts';
import type { PeerId } from '#shared/ids.ts';

export interface VolunteerStatesDeps {
  /** Id of the server's key. */
  readonly server: PeerId;
  readonly verify: VerifySignature;
  readonly wallMs: () => number;
}

/** The newest state that each volunteer has signed of itself. */
export class VolunteerStates {
  readonly #deps: VolunteerStatesDeps;
  readonly #states = new Map<PeerId, SignedState>();

  constructor(deps: VolunteerStatesDeps) {
    this.#deps = deps;
  }

  /** Keeps a state that is newer than the one before, of now, and signed by its volunteer; any other changes nothing. */
  async take(volunteer: PeerId, signed: SignedState): Promise<void> {
    const { server, verify, wallMs } = this.#deps;
    const { publicKey, signature, ...state } = signed;
    const [key, sig] = [fromStrictBase64(publicKey), fromStrictBase64(signature)];
    if (key === null || sig === null || peerIdOf(key) !== volunteer || !isFresh(state, wallMs())) return;
    const isSigned = await verify(key, stateBytes(state, volunteer, server), sig);
    if (isSigned && state.atMs >= (this.#states.get(volunteer)?.atMs ?? 0)) this.#states.set(volunteer, signed);
  }

  /** Undefined where there is none of late. */
  of(volunteer: PeerId): SignedState | undefined {
    const state = this.#states.get(volunteer);
    return state !== undefined && isFresh(state, this.#deps.wallMs()) ? state : undefined;
  }

  forget(volunteer: PeerId): void {
    this.#states.delete(volunteer);
  }
}
