/** A store that a contract is held to. */
export interface OpenedStore<Port> {
  readonly store: Port;
  /** A restart: the same place, opened anew. */
  readonly reopen: () => Promise<Port>;
  readonly release: () => Promise<void>;
}

/** Changes a value that is said to be readonly, as code without types could. */
export function overwrite(value: object, changes: Record<string, unknown>): void {
  Object.assign(value, changes);
}
