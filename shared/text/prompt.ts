export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** Who of several with one role; most templates do not look at it. */
  readonly name?: string;
}

/** A piece of a prompt: characters, or a marker, a control token of the model under the name that its files give it. */
export interface PromptPiece {
  readonly text: string;
  readonly isMarker: boolean;
}

/** A prompt in pieces. Characters are no marker, whatever they spell: only a chat template, or who asks for it, writes one. */
export interface Prompt {
  readonly pieces: readonly PromptPiece[];
  /** True where a chat template wrote it: the tokens that the model begins with are then in it already. */
  readonly isRendered: boolean;
}

/** A prompt as it is asked for, before any of it is read. */
export type PromptSource =
  | { readonly type: 'messages'; readonly messages: readonly ChatMessage[] }
  /** With `hasMarkers`, what spells a marker is one. */
  | { readonly type: 'text'; readonly text: string; readonly hasMarkers: boolean };

/** What makes prompts, as one model takes them. */
export interface PromptMaker {
  /**
   * The conversation through the model's chat template, ready for its answer: markers are the template's alone. Throws
   * `unsupported` if the model has no template, `bad-message` if the template refuses the messages.
   */
  chatPrompt(messages: readonly ChatMessage[]): Prompt;
  /** Text to be continued. What spells a marker in it is one only with `hasMarkers`. */
  textPrompt(text: string, hasMarkers?: boolean): Prompt;
}

/** The whole text, as receipts hash it. */
export function textOf({ pieces }: Prompt): string {
  return pieces.map(({ text }) => text).join('');
}

/** Throws as `chatPrompt` does. */
export function promptOf(text: PromptMaker, source: PromptSource): Prompt {
  if (source.type === 'messages') return text.chatPrompt(source.messages);
  return text.textPrompt(source.text, source.hasMarkers);
}

/** What a prompt may have been of which only the text is at hand: its tokens tell which. */
export function readingsOf(text: Pick<PromptMaker, 'textPrompt'>, whole: string): Prompt[] {
  const [plain, marked] = [text.textPrompt(whole), text.textPrompt(whole, true)];
  return [{ ...marked, isRendered: true }, plain, marked];
}
