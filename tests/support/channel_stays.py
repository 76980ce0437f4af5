"""Layers and operations at which channels are kept, and why: what has no model in the zoos has a line here."""

LAYERS = {
    "it stands in front of all channels: it changes images, mostly while training": """
        AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes MixUp
        Pipeline RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
        RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
        RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
        RandomTranslation RandomZoom Solarization
    """,
    "it stands in front of all channels: it turns data into numbers": """
        CategoryEncoding Discretization HashedCrossing Hashing IntegerLookup MelSpectrogram Normalization
        STFTSpectrogram StringLookup TextVectorization
    """,
    "which steps it masks depends on all channels": "Masking",
    "it may compute anything (what a Lambda calls is written out where that is possible)": """
        FlaxLayer JaxLayer Lambda TFSMLayer TorchModuleWrapper
    """,
    "it computes nothing": "Layer Wrapper",
}

OPERATIONS = {
    "it takes a function, which may compute anything": """
        core.AssociativeScan core.Cond core.ForiLoop core.Map core.Scan core.Switch core.VectorizedMap core.WhileLoop
        linalg.JVP
    """,
    "where it reads or writes is computed, or what it returns are places": """
        core.Scatter core.ScatterUpdate core.SliceUpdate image.MapCoordinates math.InTopK numpy.Argpartition
        numpy.Bincount numpy.Digitize numpy.Histogram numpy.IsIn numpy.Nonzero numpy.SearchSorted
        numpy.Unique numpy.UnravelIndex nn.MultiHot nn.OneHot
    """,
    "each entry of the result depends on all entries of a matrix": """
        linalg.Cholesky linalg.CholeskyInverse linalg.Det linalg.Eig linalg.Eigh linalg.Inv linalg.Lstsq linalg.LuFactor
        linalg.MatrixRank linalg.Pinv linalg.Qr linalg.SVD linalg.Solve linalg.SolveTriangular math.CDist math.Logdet
        numpy.Corrcoef numpy.Correlate numpy.Slogdet
    """,
    "each entry of the result depends on all entries along an axis": """
        math.ExtractSequences math.ISTFT math.STFT
    """,
    "it joins entries of a sample with those of others": """
        math.SegmentMax math.SegmentMin math.SegmentProd math.SegmentReduction math.SegmentSum numpy.Kron
        numpy.Outer numpy.Ravel numpy.Vdot
    """,
    "it is a loss or a measure": """
        image.SSIM nn.BinaryCrossentropy nn.CTCDecode nn.CTCLoss nn.CategoricalCrossentropy nn.PSNR
        nn.SparseCategoricalCrossentropy numpy.AllClose
    """,
    "it is made for the three colours of an image": """
        image.AffineTransform image.ElasticTransform image.GaussianBlur image.HSVToRGB image.PerspectiveTransform
        image.RGBToGrayscale image.RGBToHSV image.ScaleAndTranslate image.SobelEdges
    """,
    "its kernel is no weight of a layer": "nn.ConvTranspose nn.SeparableConv",
    "the entries of a window and the channels become one axis": "image.ExtractPatches nn.Fold nn.Unfold",
    "it takes a diagonal, or makes one": "numpy.Diag numpy.Diagflat numpy.Diagonal numpy.Trace",
    "an axis of it must have two or three entries": "math.ViewAsComplex math.ViewAsReal numpy.Cross",
    "its result has another number of entries, or of axes, than can be known": "numpy.Meshgrid numpy.Vander numpy.View",
    "it makes a tensor from numbers or a shape": """
        numpy.Arange numpy.Array numpy.EmptyLike numpy.Full numpy.Geomspace numpy.Linspace numpy.Logspace numpy.Ndim
        numpy.Size
    """,
    "no function of Keras makes one": "numpy.Abs numpy.Conj",
    "`reshape` and `transpose` do the same and have rules": "einops.Rearrange",
}


def names(listed):
    return {name for line in listed.values() for name in line.split()}
