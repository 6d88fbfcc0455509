import type { ChatMessage } from '#shared/text/model-text.ts';
import type { Prompt, PromptPiece, PromptSource } from '#shared/text/prompt.ts';

/** A question to a model: what it is sent, and what that was made of. */
export interface StockPrompt {
  /** Null where it is tokens by chance, which no text comes to. */
  readonly prompt: Prompt | null;
  readonly promptTokens: readonly number[];
}

/** A model's text, whose prompts are read elsewhere. */
interface StockText {
  encode(source: PromptSource, most: number): Promise<{ readonly prompt: Prompt; readonly tokens: readonly number[] }>;
  encodePrompt(prompt: Prompt): Promise<readonly number[]>;
}

/** Stands for a message in a rendered chat. */
const MARK = 'the-place-of-a-message';
/** Texts kept for one model, and how many of them are enough. */
const MAX_TEXTS = 8;
const ENOUGH_TEXTS = 4;
/** Conversations that may go on. */
const MAX_CONVERSATIONS = 8;

/** How much longer than asked for a conversation may be that goes on. */
const LONGER = 1.25;

/**
 * Prompts for hidden sessions: what the model itself writes where a person's message would stand, each used once and whole.
 * So they are like messages to it, and are nobody's. Longer ones go on with the conversation before, as people do.
 */
export class PromptStock {
  readonly #text: StockText;
  readonly #vocabularySize: number;
  readonly #chance: () => number;
  #texts: string[] = [];
  /** The conversations so far, the last one at the end; one that waits for its answer ends with a question. */
  #conversations: readonly (readonly ChatMessage[])[] = [];

  constructor(text: StockText, vocabularySize: number, chance: () => number) {
    this.#text = text;
    this.#vocabularySize = vocabularySize;
    this.#chance = chance;
  }

  /** True where there is little to choose from. */
  get isShort(): boolean {
    return this.#texts.length < ENOUGH_TEXTS;
  }

  /** What to go on from for a new text: a chat as far as where a person's message begins. */
  async opening(): Promise<readonly number[]> {
    const before = beforeMark((await this.#chat([{ role: 'user', content: MARK }]))?.prompt ?? null);
    const tokens = before === null ? [] : await this.#text.encodePrompt(before);
    return tokens.length > 0 ? tokens : this.randomTokens(2);
  }

  add(text: string): void {
    const trimmed = text.trim();
    if (trimmed !== '') this.#texts = [...this.#texts, trimmed].slice(-MAX_TEXTS);
  }

  /**
   * A prompt with a text that is not used again: that text, after that conversation or as the first of a new one, with which it
   * comes nearest to `length` tokens. Tokens by chance where there is no text.
   */
  async take(length: number): Promise<StockPrompt> {
    const open = this.#conversations.filter((turns) => turns.at(-1)!.role === 'assistant');
    const prompts: { readonly turns: readonly ChatMessage[]; readonly before: object; readonly chat: StockPrompt }[] =
      [];
    for (const content of this.#texts) {
      for (const before of [[], ...open]) {
        const turns = [...before, { role: 'user', content }];
        const chat = await this.#chat(turns);
        const isTooLong = before.length > 0 && chat !== null && chat.promptTokens.length > LONGER * length;
        if (chat !== null && !isTooLong) prompts.push({ turns, before, chat });
      }
    }
    if (prompts.length === 0) return this.#withoutChat(length);
    const distance = ({ chat }: (typeof prompts)[number]): number => Math.abs(chat.promptTokens.length - length);
    const { turns, before, chat } = prompts.reduce((best, one) => (distance(one) < distance(best) ? one : best));
    this.#texts = this.#texts.filter((text) => text !== turns.at(-1)!.content);
    this.#conversations = [...open.filter((other) => other !== before), turns].slice(-MAX_CONVERSATIONS);
    return chat;
  }

  /** What the model said to the last prompt. */
  answered(content: string): void {
    const last = this.#conversations.at(-1);
    if (last?.at(-1)?.role !== 'user') return;
    this.#conversations = [...this.#conversations.slice(0, -1), [...last, { role: 'assistant', content }]];
  }

  /** Tokens by chance: never the same twice, and good enough where everybody knows that nobody asks. */
  randomTokens(count: number): number[] {
    return Array.from({ length: count }, () => Math.floor(this.#chance() * this.#vocabularySize));
  }

  /** For a model without a chat template. */
  async #withoutChat(length: number): Promise<StockPrompt> {
    const text = this.#texts.shift();
    if (text === undefined) return { prompt: null, promptTokens: this.randomTokens(length) };
    return this.#encode({ type: 'text', text, hasMarkers: false });
  }

  /** Null where the model has no chat template, or one that does not take these. */
  async #chat(messages: readonly ChatMessage[]): Promise<StockPrompt | null> {
    return this.#encode({ type: 'messages', messages }).catch(() => null);
  }

  async #encode(source: PromptSource): Promise<StockPrompt> {
    const { prompt, tokens } = await this.#text.encode(source, Infinity);
    return { prompt, promptTokens: tokens };
  }
}

/** A prompt as far as where the mark stands; null where it does not. */
function beforeMark(prompt: Prompt | null): Prompt | null {
  const pieces: PromptPiece[] = [];
  for (const piece of prompt?.pieces ?? []) {
    const at = piece.text.indexOf(MARK);
    if (at !== -1) return { isRendered: true, pieces: [...pieces, { ...piece, text: piece.text.slice(0, at) }] };
    pieces.push(piece);
  }
  return null;
}
