/** Ordinary questions and answers in English, about 75 tokens each. */
export const everydayConversations: readonly (readonly [question: string, answer: string])[] = [
  [
    'How do I keep bread fresh for longer?',
    'Store the loaf in a paper bag or a bread box at room temperature, away from sunlight. If you cannot finish it within three days, slice it and freeze it. Frozen slices can go straight into the toaster.',
  ],
  [
    'Why is the sky blue?',
    'Sunlight is made of many colors. When it passes through the air, tiny molecules scatter blue light much more than red light, so blue reaches our eyes from every direction.',
  ],
  [
    'Can you write a short note to thank my neighbor for feeding the cat?',
    'Dear Martha, thank you so much for looking after Oscar while we were away. He was happy and relaxed when we came home, and it was a great relief to know that he was in good hands.',
  ],
  [
    'What is the difference between weather and climate?',
    'Weather is what happens in the atmosphere today or this week, such as rain, wind or snow. Climate is the average of the weather in a place over many years.',
  ],
  [
    'Give me three ideas for a rainy afternoon with children.',
    'You could build a fort out of blankets and chairs, bake simple cookies together, or make a treasure hunt with clues hidden around the house. All three need very little preparation.',
  ],
  [
    'How does a bicycle stay upright?',
    'A moving bicycle steers itself slightly into the direction in which it begins to fall, which brings the wheels back under the rider. The shape of the fork and the mass of the front wheel both help.',
  ],
  [
    'I want to start running. Where should I begin?',
    'Begin with short sessions three times a week. Walk for five minutes, then alternate one minute of easy running with two minutes of walking. Increase the running time slowly, and rest on the days between.',
  ],
  [
    'Who painted the ceiling of the Sistine Chapel?',
    'Michelangelo painted it between 1508 and 1512 for Pope Julius the Second. It shows scenes from the Book of Genesis, and the best known of them is the Creation of Adam.',
  ],
  [
    'Please explain what a mortgage is.',
    'A mortgage is a loan that is used to buy a house. The house itself is the security, which means that the bank may sell it if the borrower stops paying the monthly rates.',
  ],
  [
    'What should I plant in a small, shady garden?',
    'Ferns, hostas and foxgloves all do well in the shade. Add some early bulbs such as snowdrops, because they flower before the trees have leaves. Water everything well in the first summer.',
  ],
  [
    'Tell me something interesting about octopuses.',
    'An octopus has three hearts and blue blood. Two of the hearts pump blood through the gills, and the third sends it to the rest of the body. It stops beating when the animal swims, so octopuses prefer to crawl.',
  ],
  [
    'How can I remember the names of people I meet?',
    'Repeat the name aloud when you hear it, and use it once more before the conversation ends. Connect it with a picture or with another person of that name, and write it down in the evening.',
  ],
];
