import type { ChatMessage, ModelText } from '#shared/text/model-text.ts';

/** A question to a model: what it is sent, and what that was made of. */
export interface StockPrompt {
  readonly renderedPrompt: string;
  readonly promptTokens: readonly number[];
}

/** Stands for a message in a rendered chat. */
const MARK = 'the-place-of-a-message';
/** Texts kept for one model. */
const MAX_TEXTS = 8;

/** How much longer than asked for a conversation may be that goes on. */
const LONGER = 1.25;

/**
 * Prompts for hidden sessions: what the model itself writes where a person's message would stand, each used once and whole.
 * So they are like messages to it, and are nobody's. Longer ones go on with the conversation before, as people do.
 */
export class PromptStock {
  readonly #text: ModelText;
  readonly #vocabularySize: number;
  readonly #chance: () => number;
  #texts: string[] = [];
  /** The conversation so far. */
  #turns: readonly ChatMessage[] = [];

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

  /**
   * A prompt with a text that is not used again: after the conversation so far where that comes to about `length` tokens, else
   * as the first of a new one. Tokens by chance where there is no text.
   */
  take(length: number): StockPrompt {
    const content = this.#texts.shift();
    if (content === undefined) {
      const promptTokens = this.randomTokens(length);
      return { renderedPrompt: this.#text.decode(promptTokens), promptTokens };
    }
    const message = { role: 'user', content };
    const onward = this.#turns.at(-1)?.role === 'assistant' ? this.#chat([...this.#turns, message]) : null;
    const goesOn = onward !== null && onward.promptTokens.length <= LONGER * length;
    this.#turns = [...(goesOn ? this.#turns : []), message];
    const prompt = goesOn ? onward : this.#chat([message]);
    return prompt ?? { renderedPrompt: content, promptTokens: this.#text.encode(content) };
  }

  /** What the model said to the last prompt. */
  answered(content: string): void {
    if (this.#turns.at(-1)?.role === 'user') this.#turns = [...this.#turns, { role: 'assistant', content }];
  }

  /** Tokens by chance: never the same twice, and good enough where everybody knows that nobody asks. */
  randomTokens(count: number): number[] {
    return Array.from({ length: count }, () => Math.floor(this.#chance() * this.#vocabularySize));
  }

  #beforeMessage(): string | null {
    const rendered = this.#rendered([{ role: 'user', content: MARK }]);
    const at = rendered?.indexOf(MARK) ?? -1;
    return rendered === null || at === -1 ? null : rendered.slice(0, at);
  }

  #chat(messages: readonly ChatMessage[]): StockPrompt | null {
    const renderedPrompt = this.#rendered(messages);
    return renderedPrompt === null ? null : { renderedPrompt, promptTokens: this.#text.encodeRendered(renderedPrompt) };
  }

  /** Null where the model has no chat template. */
  #rendered(messages: readonly ChatMessage[]): string | null {
    try {
      return this.#text.renderChat(messages);
    } catch {
      return null;
    }
  }
}
