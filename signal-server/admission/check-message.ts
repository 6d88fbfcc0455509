import type { Work } from '#shared/crypto/work.ts';

/** What is to be checked of shown work: one try for each puzzle that is named. */
export interface WorkCheck extends Work {
  readonly shown: readonly { readonly puzzle: number; readonly nonce: number }[];
}

export type CheckReply = { readonly isRight: boolean } | { readonly failure: string };
