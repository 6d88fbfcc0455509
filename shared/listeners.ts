/** The listeners of one kind of event. A listener that is added twice is called once. */
export class Listeners<Args extends readonly unknown[] = []> {
  readonly #listeners = new Set<(...args: Args) => void>();

  get size(): number {
    return this.#listeners.size;
  }

  has(listener: (...args: Args) => void): boolean {
    return this.#listeners.has(listener);
  }

  /** The returned function removes it again. */
  add(listener: (...args: Args) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls those that listen now; one that is added by another waits for the next time. */
  notify(...args: Args): void {
    for (const listener of [...this.#listeners]) listener(...args);
  }
}
