// 512 plain words, nine random bits each, for generated passwords that a person can read aloud and type.
const list = `
acorn alder amber anchor angle apple apron arrow aspen atlas attic autumn badge bagel baker balcony bamboo banjo
barley barn basil basket beach beacon beaver bench berry birch biscuit blanket blossom bobbin bonnet bottle
boulder bowl bracket bramble branch brass bread breeze brick bridge bronze brook broom brush bucket buckle bugle
buoy burrow butter button cabin cable cactus camel cameo camera canal candle cannon canoe canvas canyon carbon
cargo carousel carpet carrot cashew castle cave cedar celery cellar cello chalk chapel cherry chess chestnut
chimney cider cinder circle citrus clay cliff clock cloud clover coast cobalt cocoa coffee comet compass cookie
copper coral cork corner cottage cotton cove cowbell cradle crane crater crayon cricket crown crystal curtain
cushion cypress dahlia daisy damson dapple dawn delta desert diamond dinghy dock dolphin domino donkey doorbell
dormer dragon drawer drift drum dune eagle easel echo elbow elder elm ember emerald engine ermine fable falcon
feather fennel fern ferry fiddle field fig finch fjord flannel flask fleece flint flower flute forest fossil
fountain fox foxglove galley garden garlic garnet gazebo geyser ginger glacier glass globe glove goblet goose
granite grape gravel grove guitar gull hammer hammock harbor harp harvest hazel heather hedge helmet heron
hickory hill hinge hive hollow honey hood horizon hornet island ivory ivy jacket jade jasmine jetty jigsaw jug
juniper kayak keel kernel kettle kite lace ladder lagoon lake lamp lantern larch lark latch laurel lava lavender
leaf ledge lemon lentil lever lichen lilac lily lime linen lizard locket lodge loom lotus lumber lynx magnet
mallow mango mantle maple marble marigold market marlin marsh mast meadow medal melon mesa mill mint mirror
mitten moat mole monsoon moon moose mosaic moss moth mountain muffin mulberry mustard myrtle nectar needle nest
nettle nickel nutmeg oak oar oasis oboe ocean olive onion onyx opal orange orchard orchid oregano osprey otter
oven owl oyster paddle paint palm panther paper parade parcel parsley parsnip pasta path peach peacock pearl
pebble pelican pencil pepper petal pewter piano pier pigeon pillow pine planet plank plaster plate plaza plum
pocket pollen pond poplar poppy porch potter prairie prism puffin pulley pumice pumpkin puzzle quail quarry
quartz quay quill quilt rabbit radish raft rain raisin ranch raven reed reef ribbon ridge river robin rocket
roof rope rose rosemary rubber ruby rudder saddle saffron sage sail salmon salt sand sandal sapphire satin
saucer scarf school seagull sequoia sesame shadow shale sheep shell shore shovel sickle silk silver slate sled
smoke snail snow socket soda sofa spark sparrow spice spider spinach spindle spiral sponge spool spoon spruce
squash stable stamp star station steam steel stone stork storm stove straw stream sugar summit sunset swallow
swan syrup table tablet tangle tapestry tarragon teapot temple thicket thimble thistle thunder thyme tide tiger
timber tinsel toast topaz torch tower tractor trail train tray trellis trout trumpet tugboat tulip tundra tunnel
turbine turnip turtle tweed twig umber valley vanilla vase velvet vessel vine violet violin vista volcano wagon
walnut walrus warbler water wharf wheat wheel whistle willow window winter wolf wool wren yarn yarrow zebra
zephyr zinc zinnia
`;

/** The words; the generator relies on there being 512. */
export const words: readonly string[] = list.trim().split(/\s+/);
