/** A question with its answer, as part of a tree: asking anew from the same place grows another branch beside the first. */
export interface TreeTurn {
  readonly id: string;
  /** The turn that it follows; null for a first question. */
  readonly parent: string | null;
}

/** The turns from the first one to `leaf`; none for a leaf that is not there. */
export function pathTo<Turn extends TreeTurn>(turns: readonly Turn[], leaf: string | null): Turn[] {
  const left = new Map(turns.map((turn) => [turn.id, turn]));
  const path: Turn[] = [];
  for (let turn = left.get(leaf ?? ''); turn !== undefined; turn = left.get(turn.parent ?? '')) {
    path.unshift(turn);
    // Stored trees may have circles.
    left.delete(turn.id);
  }
  return path;
}

/** The turns that were asked from the same place as `turn`, itself among them, in the order of asking. */
export function branchesAt<Turn extends TreeTurn>(turns: readonly Turn[], turn: TreeTurn): Turn[] {
  return turns.filter(({ parent }) => parent === turn.parent);
}

/** The turn at the end of the branch through `turn` that was asked last. */
export function lastBelow<Turn extends TreeTurn>(turns: readonly Turn[], turn: Turn): Turn {
  const below = new Set([turn.id]);
  let last = turn;
  // A turn comes after the one that it follows.
  for (const each of turns) {
    if (each.parent === null || !below.has(each.parent)) continue;
    below.add(each.id);
    last = each;
  }
  return last;
}

/** The turns of both, each after the one that it follows; of a turn that is in both, the one of `mine`. */
export function mergeTurns<Turn extends TreeTurn>(mine: readonly Turn[], theirs: readonly Turn[]): Turn[] {
  const own = new Map(mine.map((turn) => [turn.id, turn]));
  const shared = new Set(theirs.map(({ id }) => id));
  return [...theirs.map((turn) => own.get(turn.id) ?? turn), ...mine.filter(({ id }) => !shared.has(id))];
}
