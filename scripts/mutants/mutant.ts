/** How a mutant differs from the code as it is. */
export type Kind =
  | 'boundary'
  | 'comparison'
  | 'logic'
  | 'negation'
  | 'arithmetic'
  | 'removal'
  | 'number'
  | 'boolean'
  | 'string'
  | 'list'
  | 'call';

/** One small fault, described by the code around it, so that it is found again after the code has moved. */
export interface Mutant {
  readonly file: string;
  /** Names of the enclosing classes, functions and variables, the outermost first. */
  readonly member: string;
  readonly kind: Kind;
  /** The nearest statement or property, without those inside it, white space made even. */
  readonly statement: string;
  /** The statement or property around that, in the same way. */
  readonly context: string;
  /** The expression around what is replaced. */
  readonly expression: string;
  readonly original: string;
  readonly replacement: string;
  /** Which of those that are alike in all of the above, from 0. */
  readonly ordinal: number;
}

/** A mutant and where it is in a file as it is now. */
export interface Place {
  readonly mutant: Mutant;
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

/** Mutants that were drawn once, to be run against any later commit. */
export interface MutantList {
  readonly commit: string;
  readonly seed: number;
  readonly mutants: readonly Mutant[];
}

export type Status = 'killed' | 'timeout' | 'survived' | 'untested' | 'lost';

/** The fate of one mutant. */
export interface Result {
  readonly status: Status;
  /** `FILE:LINE`; null if it was not found again. */
  readonly at: string | null;
  /** How it was found: by its whole statement, or by its expression alone. */
  readonly found: 'whole' | 'near' | null;
  /** The test files that it was run against, up to the one that failed. */
  readonly tests: readonly string[];
  readonly seconds: number;
  /** Of a lost mutant: another of its kind in the code that took the place of its own. It counts in no comparison. */
  readonly instead: { readonly mutant: Mutant; readonly result: Result } | null;
}

export interface Results {
  readonly commit: string;
  readonly results: Record<number, Result>;
}
