import { isExactClass } from './numeric-class.ts';

/** A replica that agreed with a primary, and whether its class was compared with the primary's in models of this size. */
export interface Backer {
  readonly numericClass: string;
  readonly isMeasured: boolean;
}

/**
 * True where the rows of a primary may count as checked by those who agreed: it is of an exact class, so that any lie of it
 * can be shown by whoever repeats the work, or somebody of an exact class or of one compared with its own agreed. A class
 * is only a name, and two keys may bear one that they made up.
 */
export function isBacked(primaryClass: string, agreed: readonly Backer[]): boolean {
  if (agreed.length === 0) return false;
  return isExactClass(primaryClass) || agreed.some((each) => each.isMeasured || isExactClass(each.numericClass));
}
