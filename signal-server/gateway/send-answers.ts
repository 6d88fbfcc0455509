import { ChorusError } from '#shared/errors.ts';
import type { AnswerEnd, ResponseShape } from './answer-response.ts';
import type { EventStream } from './event-stream.ts';
import type { Merged } from './merge-answers.ts';
import type { AnswerPart } from './run-answer.ts';

type Parts = AsyncIterable<Merged<AnswerPart>>;

/** The response of a request that does not stream, with as many choices as there are prompts. */
export async function wholeAnswers(parts: Parts, count: number, shape: ResponseShape): Promise<unknown> {
  const texts = Array.from({ length: count }, () => '');
  const ends = new Map<number, AnswerEnd>();
  for await (const { index, value: part } of parts) {
    if (part.type === 'text') texts[index] += part.text;
    if (part.type === 'end') ends.set(index, part);
  }
  const choices = texts.map((text, index) => {
    const end = ends.get(index);
    if (end === undefined) throw new ChorusError('internal', 'an answer ended without saying why');
    return { text, end };
  });
  return shape.whole(choices);
}

/** The same as a stream of chunks, each of one choice. */
export async function streamAnswers(
  parts: Parts,
  count: number,
  shape: ResponseShape,
  includeUsage: boolean,
  stream: EventStream,
): Promise<void> {
  const begun = new Set<number>();
  const sendFirst = async (index: number): Promise<void> => {
    const first = begun.has(index) ? null : shape.first(index);
    begun.add(index);
    if (first !== null) await stream.send(first);
  };
  const ends: AnswerEnd[] = [];
  for await (const { index, value: part } of parts) {
    switch (part.type) {
      case 'notice':
        stream.comment(part.text);
        break;
      case 'text':
        await sendFirst(index);
        await stream.send(shape.piece(index, part.text));
        break;
      case 'end':
        await sendFirst(index);
        await stream.send(shape.last(index, part));
        ends.push(part);
    }
  }
  if (ends.length < count) throw new ChorusError('internal', 'an answer ended without saying why');
  if (includeUsage) await stream.send(shape.usage(ends));
  stream.end();
}
