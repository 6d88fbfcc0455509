/** Values from a producer that does not wait to one consumer that does. */
export class EventQueue<Value> {
  readonly #values: Value[] = [];
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => undefined;

  push(value: Value): void {
    this.#values.push(value);
    this.#wake();
  }

  /** Makes `next` reject once the values before have been taken. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  async next(): Promise<Value> {
    while (this.#values.length === 0) {
      if (this.#failure !== null) throw this.#failure.error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#values.shift()!;
  }
}
