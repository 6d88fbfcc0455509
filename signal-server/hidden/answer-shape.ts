/** The outward form of an answer: all that its peers see of it besides its rows. Counts and settings, no text. */
export interface AnswerShape {
  readonly promptTokens: number;
  /** Tokens that may come; they are part of the session's capacity. */
  readonly maxNewTokens: number;
  /** Tokens that came. */
  readonly answerTokens: number;
  readonly temperature: number;
  readonly topP: number;
}
