"""Colours of figures. Okabe and Ito's: people with any kind of colour blindness tell them apart."""

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9'
# for lines and bars, in this order
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, '#000000', '#8C8C00')
# for what is no data: axes, guide lines, backgrounds
GREY, LIGHT_GREY, PALE_GREY = '#666666', '#BBBBBB', '#CCCCCC'
