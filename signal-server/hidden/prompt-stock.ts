import type { ModelText } from '#shared/text/model-text.ts';

/** A question to a model: what it is sent, and what that was made of. */
export interface StockPrompt {
  readonly renderedPrompt: string;
  readonly promptTokens: readonly number[];
}

/** Stands for a message in a rendered chat. */
const MARK = 'the-place-of-a-message';
/** Texts kept for one model. */
const MAX_TEXTS = 8;

/**
 * Prompts for hidden sessions: what the model itself writes where a person's message would stand, each used once. So they
 * are like messages to it, and are nobody's.
 */
export class PromptStock {
  readonly #text: ModelText;
  readonly #vocabularySize: number;
  readonly #chance: () => number;
  #texts: string[] = [];

  constructor(text: ModelText, vocabularySize: number, chance: () => number) {
    this.#text = text;
    this.#vocabularySize = vocabularySize;
    this.#chance = chance;
  }

  get isEmpty(): boolean {
    return this.#texts.length === 0;
  }

  /** What to go on from for a new text: a chat as far as where a person's message begins. */
  opening(): readonly number[] {
    const before = this.#beforeMessage();
    const tokens = before === null ? [] : this.#text.encodeRendered(before);
    return tokens.length > 0 ? tokens : this.randomTokens(2);
  }

  add(text: string): void {
    const trimmed = text.trim();
    if (trimmed !== '') this.#texts = [...this.#texts, trimmed].slice(-MAX_TEXTS);
  }

  /** A prompt of about this many tokens, of a text that is not used again; of tokens by chance where there is no text. */
  take(length: number): StockPrompt {
    const text = this.#texts.shift();
    if (text === undefined) {
      const promptTokens = this.randomTokens(length);
      return { renderedPrompt: this.#text.decode(promptTokens), promptTokens };
    }
    const chat = this.#rendered('');
    const room = Math.max(1, length - (chat === null ? 0 : this.#text.encodeRendered(chat).length));
    const content = this.#text.decode(this.#text.encode(text).slice(0, room));
    const renderedPrompt = this.#rendered(content);
    if (renderedPrompt === null) return { renderedPrompt: content, promptTokens: this.#text.encode(content) };
    return { renderedPrompt, promptTokens: this.#text.encodeRendered(renderedPrompt) };
  }

  /** Tokens by chance: never the same twice, and good enough where everybody knows that nobody asks. */
  randomTokens(count: number): number[] {
    return Array.from({ length: count }, () => Math.floor(this.#chance() * this.#vocabularySize));
  }

  #beforeMessage(): string | null {
    const rendered = this.#rendered(MARK);
    const at = rendered?.indexOf(MARK) ?? -1;
    return rendered === null || at === -1 ? null : rendered.slice(0, at);
  }

  /** Null where the model has no chat template. */
  #rendered(content: string): string | null {
    try {
      return this.#text.renderChat([{ role: 'user', content }]);
    } catch {
      return null;
    }
  }
}
