import { toHex } from '#shared/bytes.ts';
import type { Digest } from '#shared/ids.ts';
import type { Asking } from '../../conversations/fit-context.ts';
import type { KeptId } from '../../conversations/kept-conversation.ts';
import { AnswerRuns, type AnswerRunsDeps } from './answer-runs.svelte.ts';
import { ShownAnswer } from './answer.svelte.ts';
import type { SamplingWishes } from './chat.ts';
import { ConversationSaver } from './conversation-saver.ts';
import type { KeptConversations, UnwrittenTurn } from './kept-conversations.svelte.ts';
import { TurnTree, type Turn } from './turn-tree.svelte.ts';

/** What one tab has open, kept where it outlives a reload of the tab. */
export interface OpenInTab {
  readonly conversation: KeptId | null;
  readonly draft: string;
  /** The question that is being edited, as it stands. */
  readonly edited: EditedQuestion | null;
  /** Answers that were being made when the page was left: the device may have less of them. */
  readonly unwritten: readonly UnwrittenTurn[];
}

export interface EditedQuestion {
  readonly turn: KeptId;
  readonly text: string;
}

export interface DialogueDeps extends Omit<AnswerRunsDeps, 'saver'> {
  /** Loads the code that `openChat` needs, without connecting. */
  readonly prefetch: () => void;
  readonly settings: { readonly ask: { readonly value: SamplingWishes; update(change: { model: Digest }): void } };
  readonly kept: KeptConversations;
  readonly tab: { value: OpenInTab };
}

const DRAFT_MS = 300;

/**
 * The conversation of the Ask view. It lives outside the view, so that an answer goes on while another view, or another
 * conversation, is looked at.
 */
export class Dialogue {
  /** `missing` where the conversation that was wanted is not on this device. */
  status: 'shown' | 'opening' | 'missing' = $state('shown');
  readonly kept: KeptConversations;

  readonly #deps: DialogueDeps;
  #tree: TurnTree = $state.raw() as TurnTree;
  #draft = $state('');
  #edited: EditedQuestion | null = $state.raw(null);
  /** True until this tab's conversation is opened, or another. */
  #isUntouched = true;
  /** Oldest turns that the next question leaves out; null: as many as the last one did. */
  #leaveOut: number | null = $state(null);
  readonly #saver: ConversationSaver;
  readonly #runs: AnswerRuns;
  #stopDraft: (() => void) | null = null;

  constructor(deps: DialogueDeps) {
    this.#deps = deps;
    this.kept = deps.kept;
    this.#saver = new ConversationSaver(deps.kept, deps.clock);
    this.#runs = new AnswerRuns({ ...deps, saver: this.#saver });
    this.#tree = this.#newTree();
    const { draft, unwritten } = deps.tab.value;
    this.#draft = draft;
    void this.kept.recover(unwritten);
  }

  get id(): KeptId {
    return this.#tree.id;
  }

  get title(): string {
    return this.#tree.title;
  }

  /** The branch that is shown. */
  get turns(): readonly Turn[] {
    return this.#tree.path;
  }

  get last(): Turn | null {
    return this.#tree.last;
  }

  get isRunning(): boolean {
    return this.isRunningIn(this.id);
  }

  /** True while an answer or a receipt is being made in any conversation. */
  get isAnyRunning(): boolean {
    return this.#runs.trees.length > 0;
  }

  /** True while an answer is being made in this conversation. */
  isRunningIn(id: KeptId): boolean {
    return this.#runs.isIn(id);
  }

  get draft(): string {
    return this.#draft;
  }

  set draft(draft: string) {
    this.#draft = draft;
    this.#keepTabSoon();
  }

  /** The question that is being edited, as it stands; null while none is. */
  get edited(): EditedQuestion | null {
    return this.#edited;
  }

  set edited(edited: EditedQuestion | null) {
    this.#edited = edited;
    this.#keepTabSoon();
  }

  /** Oldest turns that the next question leaves out. */
  get leaveOut(): number {
    return Math.min(this.#leaveOut ?? this.last?.leftOut ?? 0, this.turns.length);
  }

  set leaveOut(count: number) {
    this.#leaveOut = count;
  }

  /** Called when a question is likely to come. */
  prefetch(): void {
    this.#deps.prefetch();
  }

  /** Opens what this tab had open before it was reloaded. */
  async reopen(): Promise<void> {
    const { conversation } = this.#deps.tab.value;
    if (conversation === null || this.turns.length > 0) return;
    await this.open(conversation);
    // It may have been deleted meanwhile; nobody asked for it by name.
    if (this.status === 'missing') this.startNew();
  }

  /** Shows a conversation that is kept here; none is named by null. An answer that is being made in the one before goes on. */
  async open(id: KeptId | null): Promise<void> {
    if (id === null) return this.#show(this.#newTree(), 'missing');
    if (id === this.id && (this.status === 'opening' || this.turns.length > 0)) return;
    const running = this.#runs.trees.find((tree) => tree.id === id);
    if (running !== undefined) return this.#show(running);
    const tree = new TurnTree(id);
    tree.title = this.kept.titleOf(id);
    const { edited } = this.#deps.tab.value;
    this.#show(tree, 'opening');
    const opened = await this.kept.open(id);
    if (this.#tree !== tree) return;
    if (opened === null) return void (this.status = 'missing');
    this.#show(TurnTree.restored(opened.kept, opened.evidenceOf));
    if (this.turns.some((turn) => turn.id === edited?.turn)) this.edited = edited;
  }

  /** Shows an empty conversation. The one before is kept, and an answer that is being made in it goes on. */
  startNew(): void {
    this.#show(this.#newTree());
  }

  /** Asks `question` (by default what is in the draft). Does nothing while an answer is being made. */
  async send(question = this.draft): Promise<void> {
    const text = question.trim();
    if (text === '' || this.isRunning || this.status !== 'shown') return;
    if (question === this.draft) this.draft = '';
    await this.#ask(this.last?.id ?? null, text, this.leaveOut);
  }

  /** Asks a question of ours at temperature 0: what the model says to it most likely, whatever the settings are. */
  async sendSuggestion(question: string): Promise<void> {
    if (this.isRunning || this.status !== 'shown') return;
    await this.#ask(this.last?.id ?? null, question, this.leaveOut, 0);
  }

  /** Stops the answer being made; what came so far stays. */
  stop(): void {
    this.#runs.stopIn(this.id);
  }

  /** Asks the last question again. The answer before stays, as another branch. */
  async regenerate(): Promise<void> {
    const { last } = this;
    if (last === null || this.isRunning) return;
    await this.#ask(last.parent, last.question, last.leftOut);
  }

  /** Asks another question in the place of `turn`, which stays with all that followed it, as another branch. */
  async sendEdited(turn: Turn, question: string): Promise<void> {
    const text = question.trim();
    if (text === '' || this.isRunning) return;
    this.edited = null;
    await this.#ask(turn.parent, text, turn.leftOut);
  }

  /** What the model is asked with `question` after the branch that is shown, or in the place of `turn`. */
  asking(question: string, turn: Turn | null = null): Asking {
    const { maxNewTokens } = this.#deps.settings.ask.value;
    const before = turn === null ? this.turns : this.turns.slice(0, this.turns.indexOf(turn));
    const turns = before.map((each) => ({ question: each.question, answer: each.answer.text }));
    return { turns, question, leftOut: turn === null ? this.leaveOut : turn.leftOut, maxNewTokens };
  }

  /** The turns that were asked in the same place, the turn itself among them. */
  branchesAt(turn: Turn): readonly Turn[] {
    return this.#tree.branchesAt(turn);
  }

  /** Shows the branch through `turn`. */
  choose(turn: Turn): void {
    if (this.isRunning) return;
    this.#tree.choose(turn);
    this.edited = null;
    this.#leaveOut = null;
    this.#saver.now(this.#tree);
  }

  /** Takes another model; a new conversation begins with it. */
  chooseModel(model: Digest): void {
    this.#deps.settings.ask.update({ model });
    if (this.turns.length > 0) this.startNew();
  }

  async rename(id: KeptId, title: string): Promise<void> {
    await this.kept.rename(id, title);
    if (id === this.id) this.#tree.title = this.kept.titleOf(id) || this.#tree.title;
  }

  /** Deletes a conversation from this device; an answer that is being made in it is stopped. */
  async delete(id: KeptId): Promise<void> {
    this.#runs.stopIn(id);
    if (id === this.id) this.startNew();
    await this.kept.delete(id);
  }

  /** Another tab of this browser has changed what is kept. */
  async heard(deleted: KeptId | null): Promise<void> {
    await this.kept.heard(deleted);
    if (deleted === null) return;
    this.#runs.stopIn(deleted);
    if (deleted === this.id) this.startNew();
  }

  /** Puts a question that failed without a word back into the draft, unless something is written there. */
  takeBackUnanswered(): void {
    const { last } = this;
    const isInVain = last?.answer.phase === 'failed' && last.answer.text === '';
    if (isInVain && this.draft === '') this.draft = last.question;
  }

  /** Puts on the device what waits for its turn, since the page may be about to go; resolves once that is done. */
  async flush(): Promise<void> {
    // At once, since the page may be gone before the device has written anything.
    this.#keepTab(this.#runs.unwritten);
    for (const tree of this.#runs.trees) this.#saver.now(tree);
    await this.kept.written;
  }

  #newTree(): TurnTree {
    return new TurnTree(this.#freshId());
  }

  #show(tree: TurnTree, status: Dialogue['status'] = 'shown'): void {
    this.#tree = tree;
    this.status = status;
    this.#isUntouched = false;
    this.#edited = null;
    this.#leaveOut = null;
    this.#keepTab();
    this.#runs.lookAt(tree);
  }

  async #ask(parent: KeptId | null, question: string, leftOut: number, temperature?: number): Promise<void> {
    const { clock } = this.#deps;
    const [tree, before] = [this.#tree, this.last];
    this.#isUntouched = false;
    const answer = new ShownAnswer(clock.nowMs());
    if (before !== null && this.#runs.hasChat(tree)) answer.continueOn(before.answer);
    const turn: Turn = { id: this.#freshId(), parent, question, askedAtMs: clock.wallMs(), leftOut, answer };
    tree.add(turn);
    this.#leaveOut = null;
    this.#runs.lookAt(tree);
    this.#keepTab();
    await this.#runs.answer(tree, turn, temperature);
  }

  #keepTabSoon(): void {
    this.#stopDraft?.();
    this.#stopDraft = this.#deps.clock.setTimer(() => this.#keepTab(), DRAFT_MS);
  }

  #keepTab(unwritten: readonly UnwrittenTurn[] = []): void {
    this.#stopDraft?.();
    this.#stopDraft = null;
    const { tab } = this.#deps;
    const isThere = this.turns.length > 0 || this.status === 'opening';
    const before = this.#isUntouched ? tab.value : null;
    tab.value = {
      conversation: isThere ? this.id : (before?.conversation ?? null),
      draft: this.#draft,
      edited: before?.edited ?? this.#edited,
      unwritten,
    };
  }

  #freshId(): KeptId {
    return toHex(this.#deps.random(8)) as KeptId;
  }
}
