import { ChorusError } from '#shared/errors.ts';
import { fileFaultOf, reasonOf } from './file-fault.ts';

/** True for a failure that is a state of the server: the operator was told when it began, and everybody may read it. */
export function isTold(thrown: unknown): thrown is ChorusError {
  return thrown instanceof ChorusError && thrown.details['isTold'] === true;
}

export interface StorageNews {
  /** For the operator: the words name the file. */
  readonly message: string;
  /** True where it can be written again. */
  readonly isOver: boolean;
}

/** Whether what the store is given reaches the disk: a state of the server, told once when it changes. */
export class StorageState {
  readonly #path: string;
  readonly #onNews: (news: StorageNews) => void;
  #trouble: string | null = null;

  /** `path` is what the operator knows the store by. */
  constructor(path: string, onNews: (news: StorageNews) => void) {
    this.#path = path;
    this.#onNews = onNews;
  }

  /** Why nothing is kept now, for everybody; null while all is. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /** The disk did not take a write. Answers the reason for whoever made it: it names no file, and the operator was told. */
  failed(thrown: unknown): ChorusError {
    const { what, advice } = fileFaultOf(thrown) ?? { what: 'it cannot be written', advice: 'Look at the reason' };
    if (this.#trouble !== what) {
      this.#trouble = what;
      const until = 'until then answers go on without receipts, and nothing of trust and history is kept';
      const message = `${what}: ${this.#path} cannot be written (${reasonOf(thrown)}). ${advice}: ${until}.`;
      this.#onNews({ message, isOver: false });
    }
    return new ChorusError('internal', `this server keeps nothing now: ${what}`, { isTold: true, cause: thrown });
  }

  /** The disk took a write. */
  worked(): void {
    if (this.#trouble === null) return;
    this.#trouble = null;
    this.#onNews({ message: `${this.#path} can be written again: receipts go on.`, isOver: true });
  }
}
