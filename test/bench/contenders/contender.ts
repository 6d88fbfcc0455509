import type { TransformersFolder } from '../page/transformers.ts';

/** The same prompt as text and as tokens. */
export interface Prompt {
  readonly text: string;
  readonly tokens: readonly number[];
}

export interface Reading {
  readonly ms: number;
  /** The likeliest token after the prompt. */
  readonly token: number;
}

/** One way to run a whole model with one thread. Times are what its caller waits. */
export interface Contender {
  /** Reads a prompt into an empty context and draws one token. */
  read(prompt: Prompt): Promise<Reading>;
  /** Draws `count` tokens after that one, beginning at the same place each time; answers the milliseconds they took. */
  goOn(count: number): Promise<number>;
}

/** One model in every form that a contender takes, as addresses for a page. */
export interface Material {
  /** Has `manifest.json`, `blobs/DIGEST`, `Q4_0.gguf` and `Q8_0.gguf`. */
  readonly importedUrl: string;
  /** What it was imported from, for transformers.js. */
  readonly folder: TransformersFolder;
  /** Files of wllama's package. */
  readonly wllamaUrl: string;
  /** The longest context that is measured, where room is made in advance. */
  readonly positions: number;
}
