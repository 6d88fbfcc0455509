import { toBase64 } from '../../bytes.ts';
import type { Clock } from '../../clock.ts';
import { peerIdOf, type Identity } from '../../crypto/identity.ts';
import { stateBytes } from '../../draw/volunteer-state.ts';
import type { PeerControlMessage } from '../../wire/control-message.ts';
import type { ControlClient } from '../control/control-client.ts';

export interface StateTellerDeps {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly control: Pick<ControlClient, 'serverKey'>;
  readonly tell: (message: PeerControlMessage) => void;
}

/** Signs how busy this volunteer is, so that nobody else's word is needed for passing it over in a draw. */
export class StateTeller {
  readonly #deps: StateTellerDeps;
  #told = 0;

  constructor(deps: StateTellerDeps) {
    this.#deps = deps;
  }

  /** To be called whenever its sessions change, and every few seconds. Nothing is said while it has none. */
  say(sessions: number, slots: number): void {
    if (sessions === 0 && this.#told === 0) return;
    this.#told = sessions;
    const { clock, control, identity, tell } = this.#deps;
    const state = { sessions, slots, atMs: Math.floor(clock.wallMs()) };
    const publicKey = toBase64(identity.publicKey);
    identity.sign(stateBytes(state, identity.id, peerIdOf(control.serverKey))).then(
      (signature) => tell({ type: 'state', ...state, publicKey, signature: toBase64(signature) }),
      // Without it others are passed over in its place; its work goes on.
      () => undefined,
    );
  }
}
