import { basename } from 'node:path';
import { ChorusError } from '#shared/errors.ts';

/** Without a wish: small and good before exact, as most who publish several recommend. */
const PREFERENCE = [
  'Q4_K_M',
  'Q4_K_S',
  'Q4_1',
  'Q4_0',
  'Q5_K_M',
  'Q5_K_S',
  'Q5_1',
  'Q5_0',
  'Q6_K',
  'Q8_0',
  'BF16',
  'F16',
  'F32',
];
/** Wishes by the names that graphs have. */
const ALSO = new Map([
  ['q4', PREFERENCE.filter((name) => name.startsWith('Q4'))],
  ['q8', ['Q8_0']],
  ['fp16', ['F16', 'BF16']],
  ['fp32', ['F32']],
]);

/** The GGUF file among `names` that is taken. Throws `unsupported-model` where none is of the wished kind. */
export function chooseGguf(names: readonly string[], wish: string | undefined): string {
  const files = names.filter((name) => /\.gguf$/i.test(name) && !/mmproj/i.test(basename(name)));
  const find = (kind: string): string | undefined => files.find((name) => kindOf(name) === kind.toUpperCase());
  const kinds = wish === undefined ? PREFERENCE : (ALSO.get(wish) ?? [wish]);
  const found = kinds.map(find).find((name) => name !== undefined) ?? (wish === undefined ? files[0] : undefined);
  if (found !== undefined) return found;
  const there = files.length === 0 ? 'no GGUF file' : files.slice(0, 40).join(', ');
  throw new ChorusError(
    'unsupported-model',
    `there is no GGUF file of the kind ${wish ?? 'that is read'}; there is ${there}`,
  );
}

/** The last name of a type in the file's name; empty where there is none. */
function kindOf(name: string): string {
  const found =
    basename(name)
      .toUpperCase()
      .match(/(?:IQ|TQ|Q|BF|F|FP)\d+(?:_[A-Z0-9]+)*(?=[-.])/g)
      ?.at(-1) ?? '';
  return found.replace(/^FP/, 'F');
}
