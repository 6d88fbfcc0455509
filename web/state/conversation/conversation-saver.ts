import type { Clock } from '#shared/clock.ts';
import type { KeptConversations } from './kept-conversations.svelte.ts';
import type { Turn, TurnTree } from './turn-tree.svelte.ts';

/** While an answer is written, no more often than this is it put on the device. */
const SAVE_MS = 1_000;

/** Puts conversations on the device as they change. */
export class ConversationSaver {
  readonly #kept: Pick<KeptConversations, 'save' | 'saveEvidence'>;
  readonly #clock: Clock;
  /** Cancels the save that is due. */
  readonly #due = new Map<TurnTree, () => void>();

  constructor(kept: Pick<KeptConversations, 'save' | 'saveEvidence'>, clock: Clock) {
    this.#kept = kept;
    this.#clock = clock;
  }

  soon(tree: TurnTree): void {
    if (!this.#due.has(tree))
      this.#due.set(
        tree,
        this.#clock.setTimer(() => this.now(tree), SAVE_MS),
      );
  }

  now(tree: TurnTree): void {
    this.#due.get(tree)?.();
    this.#due.delete(tree);
    const { kept } = tree;
    if (kept !== null) void this.#kept.save(kept);
  }

  /** How an answer was made: once there is all of it, or its receipt is signed. */
  evidence(tree: TurnTree, { id, answer }: Turn): void {
    void this.#kept.saveEvidence(tree.id, id, answer.evidence);
  }
}
