/** A value of one of several sources. */
export interface Merged<Value> {
  readonly index: number;
  readonly value: Value;
}

/**
 * The values of several sources as they come, of at most `atOnce` sources at a time, begun in order. `abort` is called when
 * one fails or nobody wants more, and has to end the others, which are waited for.
 */
export async function* merge<Value>(
  sources: readonly AsyncGenerator<Value, void, undefined>[],
  atOnce: number,
  abort: () => void,
): AsyncGenerator<Merged<Value>, void, undefined> {
  const next = new Map<number, Promise<{ readonly index: number; readonly result: IteratorResult<Value, void> }>>();
  let begun = 0;
  const advance = (index: number): void => {
    const step = sources[index]!.next().then((result) => ({ index, result }));
    // Its failure is heard when it is its turn; until then it is nobody's.
    step.catch(() => undefined);
    next.set(index, step);
  };
  const begin = (): void => {
    if (begun < sources.length) advance(begun++);
  };
  for (let i = 0; i < atOnce; i++) begin();
  try {
    while (next.size > 0) {
      const { index, result } = await Promise.race(next.values());
      if (result.done === true) {
        next.delete(index);
        begin();
        continue;
      }
      yield { index, value: result.value };
      advance(index);
    }
  } finally {
    if (next.size > 0) {
      abort();
      await Promise.allSettled(sources.slice(0, begun).map((source) => source.return()));
    }
  }
}
