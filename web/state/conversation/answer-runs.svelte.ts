import type { Clock, RandomBytes } from '#shared/clock.ts';
import { ChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { orAborted } from '../../browser/or-aborted.ts';
import { messagesOf } from '../../conversations/fit-context.ts';
import type { KeptId } from '../../conversations/kept-conversation.ts';
import { pathTo } from '../../conversations/turn-tree.ts';
import type { Chat, OpenChat, SamplingWishes } from './chat.ts';
import type { ConversationSaver } from './conversation-saver.ts';
import type { UnwrittenTurn } from './kept-conversations.svelte.ts';
import { keptTurn, type Turn, type TurnTree } from './turn-tree.svelte.ts';

export interface AnswerRunsDeps {
  readonly openChat: OpenChat;
  readonly models: {
    readonly chosen: { readonly digest: Digest } | null;
    readonly error: ChorusError | null;
    load(): Promise<void>;
  };
  readonly settings: { readonly ask: { readonly value: SamplingWishes } };
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly saver: ConversationSaver;
}

/** An answer being made, or its receipt. */
interface Run {
  readonly tree: TurnTree;
  readonly turn: Turn;
  /** In place of that of the settings. */
  readonly temperature: number | undefined;
  readonly stop: AbortController;
}

/** The answers being made, each in its conversation over a chat of its own, whichever conversation is looked at. */
export class AnswerRuns {
  readonly #deps: AnswerRunsDeps;
  #runs: readonly Run[] = $state.raw([]);
  readonly #chats = new WeakMap<TurnTree, { readonly model: Digest; readonly chat: Chat }>();
  /** Nobody waits for the next question of any other. */
  #looked: TurnTree | null = null;

  constructor(deps: AnswerRunsDeps) {
    this.#deps = deps;
  }

  /** Conversations with an answer or a receipt being made. */
  get trees(): readonly TurnTree[] {
    return this.#runs.map(({ tree }) => tree);
  }

  /** The answers being made, as far as they have come. */
  get unwritten(): readonly UnwrittenTurn[] {
    return this.#runs
      .filter(({ turn }) => turn.answer.isRunning)
      .map(({ tree, turn }) => ({ conversation: tree.id, turn: keptTurn(turn) }));
  }

  /** True while an answer is being made in this conversation. */
  isIn(id: KeptId): boolean {
    return this.#runs.some(({ tree, turn }) => tree.id === id && turn.answer.isRunning);
  }

  /** Stops the answer being made in this conversation; what came so far stays. */
  stopIn(id: KeptId): void {
    for (const { tree, stop } of this.#runs) if (tree.id === id) stop.abort();
  }

  /** True while its earlier answers may be in the volunteers' memory. */
  hasChat(tree: TurnTree): boolean {
    return this.#chats.has(tree);
  }

  /** Gives back the chat of the conversation that was looked at before, unless it is being answered. */
  lookAt(tree: TurnTree): void {
    const before = this.#looked;
    this.#looked = tree;
    if (before !== null && before !== tree && !this.isIn(before.id)) this.#dropChat(before);
  }

  /** Has the last question of a conversation answered, at the temperature of the settings if none is given. Failures end in the answer, never in a rejection. */
  async answer(tree: TurnTree, turn: Turn, temperature?: number): Promise<void> {
    const { saver } = this.#deps;
    const run: Run = { tree, turn, temperature, stop: new AbortController() };
    this.#runs = [...this.#runs, run];
    saver.now(tree);
    let chat: Chat | null = null;
    try {
      chat = await this.#open(tree, run.stop.signal);
      await this.#take(chat, run);
    } catch (error) {
      turn.answer.fail(run.stop.signal.aborted ? new ChorusError('cancelled', 'stopped') : error);
      if (chat !== null) this.#dropChat(tree);
    } finally {
      this.#runs = this.#runs.filter((other) => other !== run);
      saver.now(tree);
      saver.evidence(tree, turn);
      if (this.#looked !== tree && !this.isIn(tree.id)) this.#dropChat(tree);
    }
  }

  async #take(chat: Chat, { tree, turn, stop, ...run }: Run): Promise<void> {
    const { clock, settings, saver } = this.#deps;
    const { answer, question, leftOut } = turn;
    const { topP, maxNewTokens, seed, ...set } = settings.ask.value;
    const temperature = run.temperature ?? set.temperature;
    const turns = pathTo(tree.turns, turn.parent).map((each) => ({
      question: each.question,
      answer: each.answer.text,
    }));
    const events = chat.answer(messagesOf({ turns, question, leftOut }), {
      ...{ temperature, topP, maxNewTokens, signal: stop.signal },
      seed: seed ?? this.#freshSeed(),
    });
    for await (const event of events) {
      answer.apply(event, clock.nowMs());
      if (event.type === 'end' || event.type === 'signed') saver.evidence(tree, turn);
      if (answer.text !== '') saver.soon(tree);
    }
    if (answer.isRunning) throw new ChorusError('internal', 'the answer stopped without an end');
  }

  async #open(tree: TurnTree, signal: AbortSignal): Promise<Chat> {
    const { models, openChat } = this.#deps;
    if (models.chosen === null) await orAborted(models.load(), signal);
    const model = models.chosen?.digest;
    if (model === undefined) throw models.error ?? new ChorusError('unknown-model', 'this server has no model yet');
    const open = this.#chats.get(tree);
    if (open?.model === model) return open.chat;
    this.#dropChat(tree);
    const chat = await openChat(model, signal);
    if (signal.aborted) {
      chat.close();
      throw new ChorusError('cancelled', 'stopped');
    }
    this.#chats.set(tree, { model, chat });
    return chat;
  }

  #dropChat(tree: TurnTree): void {
    this.#chats.get(tree)?.chat.close();
    this.#chats.delete(tree);
  }

  #freshSeed(): number {
    return new DataView(this.#deps.random(4).buffer).getUint32(0);
  }
}
