/** Carries texts to the other side and brings its texts, in order. */
export interface TextLine {
  /** Characters or bytes that were written and that the other side has not taken yet. */
  readonly waiting: number;
  write(text: string): void;
  /** To be called once; texts wait until then. `onCut` is called, with the reason, when nothing can pass any more. */
  read(onText: (text: string) => void, onCut: (reason: string) => void): void;
  /** Lets the other side have what was written, then ends. */
  end(): void;
  /** Ends at once. */
  cut(): void;
}
