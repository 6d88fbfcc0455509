import { fromBase64 } from '../../bytes.ts';
import type { PeerControlMessage, ServerMessage } from '../../wire/control-message.ts';
import type { WorkerClient } from './worker-client.ts';

type Asked = Extract<ServerMessage, { type: 'work' }>;

export interface AdmissionWorkDeps {
  readonly worker: Pick<WorkerClient, 'work'>;
  readonly tell: (message: PeerControlMessage) => void;
  /** True from when work is asked for until the server has taken it. */
  readonly onChange: (isAsked: boolean) => void;
}

/** Does the work that the server asks of a new key in the compute thread, and shows it. */
export class AdmissionWork {
  readonly #deps: AdmissionWorkDeps;
  #asked: Asked | null = null;
  /** Of the newest: a server that starts again asks for the same. */
  #done: { readonly seed: string; readonly nonces: readonly number[] } | null = null;
  /** What the thread works on. */
  #running: string | null = null;

  constructor(deps: AdmissionWorkDeps) {
    this.#deps = deps;
  }

  /** Takes what the server says of it; false for any other message. */
  receive(message: ServerMessage): boolean {
    if (message.type !== 'work' && message.type !== 'admitted') return false;
    this.#asked = message.type === 'work' ? message : null;
    this.#deps.onChange(this.#asked !== null);
    this.goOn();
    return true;
  }

  /** Begins what is to be done, where that has not begun. To be called when there is a thread. */
  goOn(): void {
    const asked = this.#asked;
    if (asked === null) return;
    const { epoch, seed, tries } = asked;
    if (this.#done?.seed === seed) {
      this.#asked = null;
      return this.#deps.tell({ type: 'worked', epoch, nonces: [...this.#done.nonces] });
    }
    if (this.#running === seed) return;
    this.#running = seed;
    this.#deps.worker.work({ seed: fromBase64(seed), tries }).then(
      (nonces) => {
        if (this.#running === seed) this.#running = null;
        this.#done = { seed, nonces };
        this.goOn();
      },
      // The thread was lost, and goes on when it is there again.
      () => {
        if (this.#running === seed) this.#running = null;
      },
    );
  }

  /** The volunteer has ended, or its server is lost: nothing is asked any more. */
  end(): void {
    this.#asked = null;
    this.#deps.onChange(false);
  }
}
