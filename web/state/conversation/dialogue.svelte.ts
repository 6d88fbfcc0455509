import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { orAborted } from '../browser/or-aborted.ts';
import { ShownAnswer } from './answer.svelte.ts';
import type { Chat, ChatMessage, OpenChat } from './chat.ts';
import type { Models } from './models.svelte.ts';
import type { Settings } from './settings.svelte.ts';

export interface Turn {
  readonly id: number;
  readonly question: string;
  readonly answer: ShownAnswer;
}

export interface ConversationDeps {
  readonly openChat: OpenChat;
  /** Loads the code that `openChat` needs, without connecting. */
  readonly prefetch: () => void;
  readonly models: Models;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

/** The conversation of the Ask view. It lives outside the view, so that an answer goes on while another is looked at. */
export class Dialogue {
  turns: readonly Turn[] = $state.raw([]);
  draft = $state('');

  readonly #deps: ConversationDeps;
  #chat: { readonly model: Digest; readonly chat: Chat } | null = null;
  #running: AbortController | null = null;
  #nextId = 0;

  constructor(deps: ConversationDeps) {
    this.#deps = deps;
  }

  get last(): Turn | null {
    return this.turns.at(-1) ?? null;
  }

  get isRunning(): boolean {
    return this.last?.answer.isRunning ?? false;
  }

  /** Called when a question is likely to come. */
  prefetch(): void {
    this.#deps.prefetch();
  }

  /** Asks `question` (by default what is in the draft). Does nothing while an answer is being made. */
  async send(question = this.draft): Promise<void> {
    const text = question.trim();
    if (text === '' || this.isRunning) return;
    if (question === this.draft) this.draft = '';
    await this.#ask(text);
  }

  /** Stops the answer being made; what came so far stays. */
  stop(): void {
    this.#running?.abort();
  }

  /** Asks the last question again. */
  async regenerate(): Promise<void> {
    const last = this.last;
    if (last === null || this.isRunning) return;
    this.turns = this.turns.slice(0, -1);
    await this.#ask(last.question);
  }

  /** Puts a question back into the draft and forgets it and all after it. */
  edit(turn: Turn): void {
    if (this.isRunning) return;
    const index = this.turns.indexOf(turn);
    if (index < 0) return;
    this.turns = this.turns.slice(0, index);
    this.draft = turn.question;
  }

  /** Forgets everything and gives the volunteers' memory back. */
  reset(): void {
    this.stop();
    this.#chat?.chat.close();
    this.#chat = null;
    this.turns = [];
  }

  /** Takes another model; the conversation begins anew with it. */
  choose(model: Digest): void {
    this.#deps.settings.ask.update({ model });
    this.reset();
  }

  async #ask(question: string): Promise<void> {
    const { clock, models, settings } = this.#deps;
    const history = messagesOf(this.turns);
    const answer = new ShownAnswer(clock.nowMs());
    if (this.last !== null && this.#chat !== null) answer.continueOn(this.last.answer);
    this.turns = [...this.turns, { id: this.#nextId++, question, answer }];
    const running = new AbortController();
    this.#running = running;
    let chat: Chat | null = null;
    try {
      if (models.chosen === null) await orAborted(models.load(), running.signal);
      const model = models.chosen?.digest;
      if (model === undefined) throw models.error ?? new ChorusError('unknown-model', 'this server has no model yet');
      chat = await this.#open(model, running.signal);
      const { temperature, topP, maxNewTokens, seed } = settings.ask.value;
      const events = chat.answer([...history, { role: 'user', content: question }], {
        temperature,
        topP,
        maxNewTokens,
        seed: seed ?? this.#freshSeed(),
        signal: running.signal,
      });
      for await (const event of events) answer.apply(event, clock.nowMs());
      if (answer.isRunning) throw new ChorusError('internal', 'the answer stopped without an end');
    } catch (error) {
      answer.fail(running.signal.aborted ? new ChorusError('cancelled', 'stopped') : error);
      // Another question may have opened another one meanwhile.
      if (chat !== null && this.#chat?.chat === chat) this.#dropChat();
    } finally {
      if (this.#running === running) this.#running = null;
    }
  }

  async #open(model: Digest, signal: AbortSignal): Promise<Chat> {
    if (this.#chat?.model === model) return this.#chat.chat;
    this.#dropChat();
    const chat = await this.#deps.openChat(model, signal);
    if (signal.aborted) {
      chat.close();
      throw new ChorusError('cancelled', 'stopped');
    }
    this.#chat = { model, chat };
    return chat;
  }

  #dropChat(): void {
    this.#chat?.chat.close();
    this.#chat = null;
  }

  #freshSeed(): number {
    return new DataView(this.#deps.random(4).buffer).getUint32(0);
  }
}

function messagesOf(turns: readonly Turn[]): ChatMessage[] {
  return turns
    .filter((turn) => turn.answer.text !== '')
    .flatMap((turn) => [
      { role: 'user', content: turn.question },
      { role: 'assistant', content: turn.answer.text },
    ]);
}
