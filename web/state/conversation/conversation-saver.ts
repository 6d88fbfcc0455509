import type { Clock } from '#shared/clock.ts';
import type { KeptConversations } from './kept-conversations.svelte.ts';
import type { Turn, TurnTree } from './turn-tree.svelte.ts';

/** While an answer is written, no more often than this is it put on the device. */
const SAVE_MS = 300;

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
    this.now(tree);
    this.#recent.set(tree, false);
    this.#clock.setTimer(() => {
      const hasChanged = this.#recent.get(tree) === true;
      this.#recent.delete(tree);
      if (hasChanged) this.soon(tree);
    }, SAVE_MS);
  }

  now(tree: TurnTree): void {
    if (this.#recent.has(tree)) this.#recent.set(tree, false);
    const { kept } = tree;
    if (kept !== null) void this.#kept.save(kept);
  }

  /** How an answer was made: once there is all of it, or its receipt is signed. */
  evidence(tree: TurnTree, { id, answer }: Turn): void {
    void this.#kept.saveEvidence(tree.id, id, answer.evidence);
  }
}
