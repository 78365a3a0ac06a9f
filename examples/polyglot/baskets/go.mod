module baskets

go 1.19
