import type { Clock } from '#shared/clock.ts';
import type { KeptConversations } from './kept-conversations.svelte.ts';
import type { Turn, TurnTree } from './turn-tree.svelte.ts';

/** Between two writes of one answer; longer where the device is slow. */
const PAUSE_MS = 100;
/** Of the time, writing takes one part in so many. */
const SHARE = 5;

/** Puts conversations on the device as they change. */
export class ConversationSaver {
  readonly #kept: Pick<KeptConversations, 'save' | 'saveEvidence'>;
  readonly #clock: Clock;
  /** Written a moment ago: true for those that have changed since. */
  readonly #recent = new Map<TurnTree, boolean>();

  constructor(kept: Pick<KeptConversations, 'save' | 'saveEvidence'>, clock: Clock) {
    this.#kept = kept;
    this.#clock = clock;
  }

  /** More of an answer has come: its first word is written at once, the others a few at a time. */
  soon(tree: TurnTree): void {
    if (this.#recent.has(tree)) {
      this.#recent.set(tree, true);
      return;
    }
    this.#recent.set(tree, false);
    const begunMs = this.#clock.nowMs();
    const goOn = (): void => {
      const hasChanged = this.#recent.get(tree) === true;
      this.#recent.delete(tree);
      if (hasChanged) this.soon(tree);
    };
    const pause = (): void => {
      const tookMs = this.#clock.nowMs() - begunMs;
      this.#clock.setTimer(goOn, Math.max(PAUSE_MS, (SHARE - 1) * tookMs));
    };
    this.#save(tree).then(pause, pause);
  }

  now(tree: TurnTree): void {
    if (this.#recent.has(tree)) this.#recent.set(tree, false);
    void this.#save(tree);
  }

  async #save({ kept }: TurnTree): Promise<void> {
    if (kept !== null) await this.#kept.save(kept);
  }

  /** How an answer was made: once there is all of it, or its receipt is signed. */
  evidence(tree: TurnTree, { id, answer }: Turn): void {
    void this.#kept.saveEvidence(tree.id, id, answer.evidence);
  }
}
