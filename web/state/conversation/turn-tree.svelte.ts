import {
  MAX_TEXT,
  titleOf,
  type KeptConversation,
  type KeptId,
  type KeptTurn,
} from '../../conversations/kept-conversation.ts';
import type { KeptEvidence } from '../../conversations/kept-evidence.ts';
import { branchesAt, lastBelow, pathTo } from '../../conversations/turn-tree.ts';
import { ShownAnswer } from './answer.svelte.ts';

export interface Turn {
  readonly id: KeptId;
  /** The turn it follows; null for a first question. */
  readonly parent: KeptId | null;
  readonly question: string;
  readonly askedAtMs: number;
  /** Oldest turns that the model was not given with this question. */
  readonly leftOut: number;
  readonly answer: ShownAnswer;
}

/** A conversation that is open: every question that was asked in it, with its answer, and the branch that is shown. */
export class TurnTree {
  readonly id: KeptId;
  /** Empty before the first question. */
  title = $state('');
  /** Of all branches, in the order of asking. */
  turns: readonly Turn[] = $state.raw([]);
  #leaf: KeptId | null = $state(null);
  #createdAtMs = 0;
  #updatedAtMs = 0;

  constructor(id: KeptId) {
    this.id = id;
  }

  /** A conversation that was kept, as it was shown last. */
  static restored(kept: KeptConversation, evidenceOf: (turn: KeptId) => KeptEvidence | null): TurnTree {
    const tree = new TurnTree(kept.id);
    tree.title = kept.title;
    tree.turns = kept.turns.map(({ answer: keptAnswer, ...turn }) => {
      const answer = new ShownAnswer(0);
      answer.restore(keptAnswer, evidenceOf(turn.id));
      return { ...turn, answer };
    });
    tree.#leaf = kept.turns.some(({ id }) => id === kept.leaf) ? kept.leaf : kept.turns.at(-1)!.id;
    tree.#createdAtMs = kept.createdAtMs;
    tree.#updatedAtMs = kept.updatedAtMs;
    return tree;
  }

  /** The turns of the branch that is shown, from the first. */
  get path(): readonly Turn[] {
    return pathTo(this.turns, this.#leaf);
  }

  get last(): Turn | null {
    return this.turns.find(({ id }) => id === this.#leaf) ?? null;
  }

  get isRunning(): boolean {
    return this.turns.some(({ answer }) => answer.isRunning);
  }

  /** All that was asked from the same place, the turn itself among them. */
  branchesAt(turn: Turn): readonly Turn[] {
    return branchesAt(this.turns, turn);
  }

  /** Asks something after `turn.parent`; its branch is shown from then on. */
  add(turn: Turn): void {
    this.turns = [...this.turns, turn];
    this.#leaf = turn.id;
    this.#updatedAtMs = turn.askedAtMs;
    if (this.title !== '') return;
    this.title = titleOf(turn.question);
    this.#createdAtMs = turn.askedAtMs;
  }

  /** Shows the branch through this turn. */
  choose(turn: Turn): void {
    this.#leaf = lastBelow(this.turns, turn).id;
  }

  /** As it is kept; null before the first question. */
  get kept(): KeptConversation | null {
    if (this.#leaf === null) return null;
    const turns = this.turns.map(keptTurn);
    const [createdAtMs, updatedAtMs] = [this.#createdAtMs, this.#updatedAtMs];
    return { id: this.id, title: this.title, createdAtMs, updatedAtMs, leaf: this.#leaf, turns };
  }
}

/** A turn as it is kept. */
export function keptTurn({ answer, question, ...turn }: Turn): KeptTurn {
  return { ...turn, question: question.slice(0, MAX_TEXT), answer: answer.kept };
}
